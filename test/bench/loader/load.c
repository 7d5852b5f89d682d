/* Load of one run: clients that read, senders that publish, and the result as one line of JSON.
 * ../load.ts describes options and result; load.ts replaces this file where no compiler exists. */
#include "wire.h"

#define AT_ONCE 64       /* connects under way */
#define BUCKETS 2000000  /* of 10 microseconds */
#define BUCKET_NS 10000
#define PAD 151          /* makes the payload 200 bytes */
#define FLOOD_PAD 32768
#define FLOODS_PER_SECOND 100
#define STUCK_FOR (SECOND * 3 / 2)
#define GIVE_UP (60 * SECOND)
#define SETTLE (5 * SECOND)
#define MAX_PROCESSES 16

enum target { USER, CHANNEL, BROADCAST, REDIS };

struct client {
  struct io io;
  int user;
  enum { AWAY, CALLING, GREETED, READY } state;
  int is_counted;          /* idle ones and the flooded one are there to disturb */
  char *rest;              /* of what is not whole yet */
  size_t have, room;
  struct chunk chunk;
  uint32_t *next;          /* by lane: the sequence number that must come next */
};

struct sender {
  struct io io;
  int lane, user, busy;
  size_t have;
  char answer[8192];
};

/* Action at even intervals; a failed one is retried after the next event. */
struct pacer { uint64_t due, every; int (*act)(uint64_t due); };

static int ports[MAX_PROCESSES], port_count, lanes, sender_count, client_count, idle_count, users, window_size, stride, acks;
static int is_sse, is_socket_io, is_centrifugo;
static const char *key, *query, *channel, *ready_word;
static enum target target;
static struct client *clients, *idlers, flooded;
static struct sender *senders, flooder;
static char **tokens;
static uint32_t *sent;                /* by lane, or by user when they are addressed */
static struct pacer publishing, flooding, storming, renewing;
static struct pacer *const pacers[] = {&publishing, &flooding, &storming, &renewing};
static int calling, is_sending, is_stuck, is_measuring, storm_next, added;
static uint64_t sent_total, received, answered, lost, repeated, refused, dropped, connected;
static uint32_t latencies[BUCKETS];
static long added_kib;

/* `whom` comes before the number of a user. */
static size_t compose(char *out, enum target to, const char *whom, int user, int lane, uint32_t seq, uint64_t stamp, int pad) {
  static char filler[FLOOD_PAD];
  if (!filler[0]) memset(filler, 'x', sizeof filler);
  if (is_centrifugo) {
    char name[64];
    sprintf(name, "%s-%d", whom, user);
    return (size_t)sprintf(out, "{\"channel\":\"%s\",\"data\":{\"mark\":\"%016lx%04x%08x\",\"text\":\"%.*s\"}}",
                           to == USER ? name : *channel ? channel : "bench", (unsigned long)stamp, lane, seq, pad, filler);
  }
  char *at = out + (to == USER      ? sprintf(out, "{\"target_user_id\":\"%s-%d\",", whom, user)
                    : to == REDIS   ? sprintf(out, "{\"type\":\"user\",\"target\":\"%s-%d\",\"event\":{", whom, user)
                    : to == CHANNEL ? sprintf(out, "{\"channel\":\"%s\",", pad == PAD ? channel : "flood")
                                    : sprintf(out, "{"));
  at += sprintf(at, "\"event_type\":\"bench\",\"payload\":{\"mark\":\"%016lx%04x%08x\",\"text\":\"%.*s\"}%s",
                (unsigned long)stamp, lane, seq, pad, filler, to == REDIS ? "}}" : "}");
  return (size_t)(at - out);
}

static void post(struct sender *sender, enum target to, int pad, uint64_t stamp) {
  static const char *const paths[] = {"v1/notifications/send", "v1/notifications/channel", "v1/notifications/broadcast"};
  static char body[FLOOD_PAD + 512], request[FLOOD_PAD + 1024];
  int lane = target == USER ? 0 : sender->lane, user = sender->user;
  uint32_t seq = 0;
  if (pad == PAD) {
    seq = sent[target == USER ? user : lane]++;
    sent_total++;
    if ((sender->user += sender_count) >= users) sender->user = sender->lane;
  }
  size_t size = compose(body, to, client_count ? "user" : "away", user, lane, seq, stamp, pad);
  int head = sprintf(request, "POST /api/%s HTTP/1.1\r\nHost: %s:%d\r\nX-API-Key: %s\r\n"
                     "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
                     is_centrifugo ? "publish" : paths[to], host, ports[0], key, size);
  memcpy(request + head, body, size);
  sender->busy = 1;
  say(sender->io.fd, request, head + size);
}

/* Keeps this many messages in flight through Redis. Of each stride the last one goes to a client, the others to users
 * who are away. */
static void top_up(void) {
  static char batch[1 << 20];
  char body[512], name[64], *at = batch;
  struct sender *sender = senders;
  while (sent_total - received * stride < (uint64_t)window_size && at - batch < (1 << 20) - 1024) {
    int is_heard = (int)(sent_total % stride) == stride - 1, user = is_heard ? sender->user % client_count : sender->user;
    const char *whom = is_heard ? "user" : "away";
    size_t size = compose(body, REDIS, whom, user, 0, is_heard ? sent[user]++ : 0, now(), PAD);
    int length = sprintf(name, "notification:user:%s-%d", whom, user);
    at += sprintf(at, "*3\r\n$7\r\nPUBLISH\r\n$%d\r\n%s\r\n$%zu\r\n%.*s\r\n", length, name, size, (int)size, body);
    sent_total++;
    sender->user = (sender->user + 1) % users;
  }
  say(sender->io.fd, batch, (size_t)(at - batch));
}

/* Use connections in turn: a server closes those that are never used. */
static int publish_next(uint64_t due) {
  static int last;
  for (int n = 1; n <= sender_count; n++) {
    int next = (last + n) % sender_count;
    if (!senders[next].busy) return post(senders + (last = next), target, PAD, due), 1;
  }
  return 0;
}

static int flood_next(uint64_t due) {
  return flooder.busy ? 0 : (post(&flooder, CHANNEL, FLOOD_PAD, due), 1);
}

static void read_answer(struct sender *sender) {
  ssize_t some = recv(sender->io.fd, sender->answer + sender->have, sizeof sender->answer - 1 - sender->have, 0);
  if (some < 0 && errno == EAGAIN) return;
  if (some <= 0) die("a sender was disconnected", "");
  if (target == REDIS && memchr(sender->answer, '-', some)) die("Redis said", sender->answer);
  if (target == REDIS) return;
  sender->answer[sender->have += some] = 0;
  char *end = strstr(sender->answer, "\r\n\r\n"), *length = strcasestr(sender->answer, "\r\ncontent-length:");
  if (!end || !length || sender->answer + sender->have < end + 4 + atoi(length + 17)) return;
  sender->have = sender->busy = 0;
  if (sender == &flooder) return; /* nobody may have been there */
  answered++;
  const char *word = is_centrifugo ? "\"result\"" : "\"success\":true";
  if ((strncmp(sender->answer, "HTTP/1.1 200", 12) || !strstr(end, word)) && !refused++)
    fprintf(stderr, "loader: an answer was %.400s\n", sender->answer);
  if (is_sending && !publishing.every) post(sender, target, PAD, now());
}

static void open_sender(struct sender *sender, int lane, int to_port) {
  *sender = (struct sender){.io = {SENDER, dial(to_port, 0)}, .lane = lane, .user = lane};
  listen_to(&sender->io, EPOLLIN, EPOLL_CTL_ADD);
}

/* Connect when needed: a server may close silent connections. With two servers half of the sends to users must cross. */
static void open_senders(void) {
  for (int n = 0; n < sender_count; n++)
    open_sender(senders + n, n, target == REDIS ? (int)number_of("redis_port", "0") : ports[n / port_count % port_count]);
}

static void call(struct client *client) {
  char request[9000];
  int port = ports[client->user % port_count];
  client->io = (struct io){CLIENT, dial(port, client == &flooded && is_stuck ? 4096 : 0)};
  client->state = CALLING;
  client->have = 0;
  client->chunk = (struct chunk){SIZE, 0};
  calling++;
  const char *more = is_sse ? "" : "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                                   "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
  const char *path = is_sse ? "sse?" : is_socket_io ? "socket.io/?EIO=4&transport=websocket&" : "ws?";
  char names[8500] = "connection/websocket";
  if (!is_centrifugo) snprintf(names, sizeof names, "%stoken=%s%s", path, tokens[client->user], query);
  int size = snprintf(request, sizeof request, "GET /%s HTTP/1.1\r\nHost: %s:%d\r\n%s\r\n", names, host, port, more);
  say(client->io.fd, request, size);
  listen_to(&client->io, EPOLLIN, EPOLL_CTL_ADD);
}

static void set_ready(struct client *client) {
  client->state = READY;
  calling--, connected++;
  if (client == &flooded && is_stuck) listen_to(&client->io, 0, EPOLL_CTL_MOD);
}

/* Close with a reset, so that neither end keeps state and no port waits. */
static void leave(struct client *client) {
  if (client->state == AWAY) return;
  if (client->state != READY) calling--;
  client->state = AWAY;
  setsockopt(client->io.fd, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
  close(client->io.fd);
  client->io.fd = -1;
}

/* First command of Centrifugo's protocol. Its token names the channels. */
static void ask_to_connect(struct client *client) {
  char message[MAX_FRAME];
  say_frame(client->io.fd, TEXT, message,
            snprintf(message, sizeof message, "{\"id\":1,\"connect\":{\"token\":\"%s\"}}", tokens[client->user]));
}

static void greet(struct client *client, const char *head) {
  if (strncmp(head, is_sse ? "HTTP/1.1 200" : "HTTP/1.1 101", 12)) die("a connection was refused:", head);
  client->state = GREETED;
  if (is_socket_io) return;
  if (is_centrifugo) return ask_to_connect(client);
  const char *name = client == &flooded ? "flood" : client->is_counted ? channel : "";
  char message[100];
  if (*name)
    say_frame(client->io.fd, TEXT, message,
              sprintf(message, "{\"type\":\"Subscribe\",\"payload\":{\"channels\":[\"%s\"]}}", name));
  else if (!*ready_word || !client->is_counted) set_ready(client);
}

static void acknowledge(struct client *client, const char *text, size_t size) {
  const char *id = memmem(text, size, "\"id\":\"", 6);
  char message[125];
  if (!id) die("a notification without id", text);
  say_frame(client->io.fd, TEXT, message,
            sprintf(message, "{\"type\":\"Ack\",\"payload\":{\"notification_id\":\"%.36s\"}}", id + 6));
}

static void hear(struct client *client, const char *text, size_t size, uint64_t at) {
  const char *mark = memmem(text, size, "\"mark\":\"", 8);
  if (!mark) {
    const char *refusal = is_centrifugo ? "\"error\":" : "\"type\":\"error\"";
    if (memmem(text, size, refusal, strlen(refusal))) die("a client was told", text);
    const char *word = client->is_counted ? ready_word : "\"subscribed\"";
    if (client->state == GREETED && memmem(text, size, word, strlen(word))) set_ready(client);
    return;
  }
  if (!client->is_counted) return;
  uint64_t waited = (at - hex_of(mark + 8, 16)) / BUCKET_NS;
  int lane = (int)hex_of(mark + 24, 4);
  uint32_t seq = (uint32_t)hex_of(mark + 28, 8);
  if (lane >= lanes) die("a lane that nobody has", mark);
  if (seq < client->next[lane]) repeated++;
  else lost += seq - client->next[lane], client->next[lane] = seq + 1;
  received++;
  if (acks) acknowledge(client, text, size);
  if (is_measuring) latencies[waited < BUCKETS ? waited : BUCKETS - 1]++;
}

/* Packets of Engine.IO 4 that are not events: open, ping, and connected to the namespace. */
static int hear_engine(struct client *client, const char *text, size_t size) {
  char message[100];
  if (size && *text == '0') say_frame(client->io.fd, TEXT, "40", 2);
  else if (size && *text == '2') say_frame(client->io.fd, TEXT, "3", 1);
  else if (size < 2 || text[0] != '4' || text[1] != '0') return 0;
  else if (!*channel) set_ready(client);
  else say_frame(client->io.fd, TEXT, message, sprintf(message, "42[\"subscribe\",\"%s\"]", channel));
  return 1;
}

/* Lines of one frame of Centrifugo's protocol; an empty object is a ping. */
static void hear_lines(struct client *client, const char *text, size_t size, uint64_t at) {
  for (const char *line = text, *last = text + size; line < last;) {
    const char *end = memchr(line, '\n', (size_t)(last - line)) ?: last;
    if (end - line == 2) say_frame(client->io.fd, TEXT, "{}", 2);
    else if (end > line) hear(client, line, (size_t)(end - line), at);
    line = end + 1;
  }
}

static size_t hear_frames(struct client *client, const char *bytes, size_t size, uint64_t at) {
  struct frame frame;
  size_t used = 0;
  for (size_t some; (some = read_frame(bytes + used, size - used, &frame)); used += some) {
    if (is_socket_io && hear_engine(client, frame.payload, frame.size)) continue;
    if (is_centrifugo && frame.opcode == TEXT) hear_lines(client, frame.payload, frame.size, at);
    else if (frame.opcode == TEXT) hear(client, frame.payload, frame.size, at);
    else if (frame.opcode == PING) say_frame(client->io.fd, PONG, frame.payload, frame.size);
  }
  return used;
}

static size_t hear_events(struct client *client, const char *bytes, size_t size, uint64_t at) {
  size_t used = 0;
  for (const char *end; (end = memmem(bytes + used, size - used, "\n\n", 2)); used = (size_t)(end - bytes) + 2)
    hear(client, bytes + used, (size_t)(end - bytes) - used, at);
  return used;
}

static void read_client(struct client *client) {
  static char bytes[1 << 19];
  memcpy(bytes, client->rest, client->have);
  ssize_t some = recv(client->io.fd, bytes + client->have, sizeof bytes - client->have, 0);
  if (some < 0 && errno == EAGAIN) return;
  if (some <= 0) {
    if (client != &flooded) dropped++;
    leave(client);
    return;
  }
  uint64_t at = now();
  size_t size = client->have + some, used = 0, fresh = client->have;
  if (client->state == CALLING) {
    char *end = memmem(bytes, size, "\r\n\r\n", 4);
    if (end) used = fresh = (size_t)(end - bytes) + 4, greet(client, bytes);
  }
  if (client->state != CALLING) {
    if (is_sse) size = fresh + dechunk(&client->chunk, bytes + fresh, size - fresh);
    used += (is_sse ? hear_events : hear_frames)(client, bytes + used, size - used, at);
  }
  client->have = size - used;
  if (client->have > client->room && !(client->rest = realloc(client->rest, client->room = client->have)))
    die("no memory", "");
  memcpy(client->rest, bytes + used, client->have);
}

static int reconnect_next(__attribute__((unused)) uint64_t due) {
  if (storm_next == idle_count) return storming.every = 0, 1;
  leave(idlers + storm_next);
  call(idlers + storm_next++);
  return 1;
}

static int renew_flooded(__attribute__((unused)) uint64_t due) {
  leave(&flooded);
  call(&flooded);
  return 1;
}

/* Runs due actions, then waits for an event, at most until then. */
static void turn(uint64_t until) {
  struct epoll_event events[512];
  uint64_t wake = until;
  for (size_t n = 0; n < sizeof pacers / sizeof *pacers; n++) {
    struct pacer *pacer = pacers[n];
    while (pacer->every && pacer->due <= now() && pacer->act(pacer->due)) pacer->due += pacer->every;
    if (pacer->every && pacer->due > now() && pacer->due < wake) wake = pacer->due;
  }
  if (target == REDIS && is_sending) top_up();
  uint64_t at = now(), rest = wake > at ? wake - at : 0;
  int count = epoll_pwait2(epoll, events, 512, &(struct timespec){(time_t)(rest / SECOND), (long)(rest % SECOND)}, NULL);
  for (int n = 0; n < count; n++) {
    struct io *io = events[n].data.ptr;
    if (io->fd < 0) continue; /* hung up by what came before it */
    if (io->kind == SENDER) read_answer((struct sender *)io);
    else read_client((struct client *)io);
  }
}

static void wait_seconds(double seconds) {
  for (uint64_t end = now() + (uint64_t)(seconds * SECOND); now() < end;) turn(end);
}

static void pace(struct pacer *pacer, double per_second, int (*act)(uint64_t)) {
  *pacer = (struct pacer){now(), (uint64_t)(SECOND / per_second), act};
}

static void await(const uint64_t *counter, uint64_t wanted) {
  for (uint64_t limit = now() + SETTLE; *counter < wanted && now() < limit;) turn(limit);
}

static void open_all(struct client *group, int count) {
  uint64_t all = connected + count, limit = now() + GIVE_UP;
  for (int next = 0; connected < all && now() < limit; turn(limit))
    while (calling < AT_ONCE && next < count) call(group + next++);
  if (connected < all) die("clients did not become ready", "");
}

static int clock_count;
static clockid_t server_clocks[MAX_PROCESSES];
static double seconds_open, busy_open, cpu_open[MAX_PROCESSES];
static uint64_t began, cpu_began[MAX_PROCESSES], busy_began, received_open, answered_open, connected_open, from_ms;

static void open_window(void) {
  is_measuring = 1;
  from_ms = from_ms ? from_ms : read_clock(CLOCK_REALTIME) / 1000000;
  received_open -= received, answered_open -= answered, connected_open -= connected;
  for (int n = 0; n < clock_count; n++) cpu_began[n] = read_clock(server_clocks[n]);
  began = now(), busy_began = read_clock(CLOCK_PROCESS_CPUTIME_ID);
}

static void shut_window(void) {
  is_measuring = 0;
  seconds_open += (double)(now() - began) / SECOND;
  for (int n = 0; n < clock_count; n++) cpu_open[n] += (double)(read_clock(server_clocks[n]) - cpu_began[n]) / SECOND;
  busy_open += (double)(read_clock(CLOCK_PROCESS_CPUTIME_ID) - busy_began) / SECOND;
  received_open += received, answered_open += answered, connected_open += connected;
}

static double percentile(double part) {
  uint64_t all = 0, seen = 0;
  for (int n = 0; n < BUCKETS; n++) all += latencies[n];
  for (int n = 0; n < BUCKETS; n++)
    if ((seen += latencies[n]) > (uint64_t)((double)all * part)) return n * (BUCKET_NS / 1e6);
  return 0;
}

/* Reports the open window and begins the next. */
static void report(const char *name) {
  static int reported;
  double cpu = 0;
  for (int n = 0; n < clock_count; n++) cpu += cpu_open[n];
  printf("%s{\"name\":\"%s\",\"seconds\":%.6f,\"cpu\":%.6f,\"cpus\":[", reported++ ? "," : "", name, seconds_open, cpu);
  for (int n = 0; n < clock_count; n++) printf("%s%.6f", n ? "," : "", cpu_open[n]);
  printf("],\"busy\":%.3f,\"received\":%lu,\"answered\":%lu,"
         "\"connected\":%lu,\"p50\":%.2f,\"p99\":%.2f,\"from\":%lu,\"to\":%lu}",
         busy_open / (seconds_open > 0 ? seconds_open : 1), received_open, answered_open, connected_open,
         percentile(0.5), percentile(0.99), from_ms, read_clock(CLOCK_REALTIME) / 1000000);
  seconds_open = busy_open = 0;
  memset(cpu_open, 0, sizeof cpu_open);
  received_open = answered_open = connected_open = from_ms = 0;
  memset(latencies, 0, sizeof latencies);
}

static void measure(const char *name, double seconds) {
  open_window();
  wait_seconds(seconds);
  shut_window();
  report(name);
}

/* Waits for missing notifications and briefly for surplus ones, then counts the lost ones. */
static void settle(void) {
  is_sending = 0;
  publishing.every = flooding.every = 0;
  int by_user = target == USER || target == REDIS;
  if (client_count) await(&received, by_user ? sent_total / stride : sent_total * client_count);
  if (target != REDIS) await(&answered, sent_total);
  wait_seconds(0.1);
  if (target != REDIS) refused += sent_total - answered;
  for (int n = 0; n < client_count; n++)
    for (int lane = 0; lane < lanes; lane++)
      lost += sent[by_user ? n : lane] - clients[n].next[lane];
}

/* Disturbs: one flooded client stops reading, then all idle clients reconnect. */
static void disturb(double seconds, double rate) {
  is_stuck = 1;
  pace(&renewing, (double)SECOND / STUCK_FOR, renew_flooded);
  measure("stuck", seconds);
  is_stuck = 0, renewing.every = 0;
  renew_flooded(0);
  wait_seconds(0.5);
  pace(&storming, rate, reconnect_next);
  measure("storm", idle_count / rate);
  wait_seconds(storm_next < idle_count || calling ? 2 : 0);
  dropped += idle_count - storm_next + calling;
}

/* Connects all clients, then publishes steadily. */
static void flow(double warm, double seconds, double rate) {
  open_all(clients, client_count);
  open_all(idlers, idle_count);
  if (idle_count) {
    open_all(&flooded, 1);
    open_sender(&flooder, 0, ports[0]);
    pace(&flooding, FLOODS_PER_SECOND, flood_next);
  }
  open_senders();
  is_sending = 1;
  if (rate > 0) pace(&publishing, rate, publish_next);
  else if (target != REDIS)
    for (int n = 0; n < sender_count; n++) post(senders + n, target, PAD, now());
  wait_seconds(warm);
  measure("steady", seconds);
  if (idle_count) disturb(seconds, number_of("storm", "1000"));
  settle();
}

/* Connects all clients, receives their replay, disconnects, and repeats. `check` sends them one broadcast. */
static void visit(double warm, double seconds, int waiting, int check) {
  if (check) open_senders();
  for (uint64_t warm_until = now() + (uint64_t)(warm * SECOND); seconds_open < seconds;) {
    int is_measured = now() >= warm_until;
    wait_seconds(0.15);
    if (is_measured) open_window();
    uint64_t wanted = received + (uint64_t)client_count * waiting;
    open_all(clients, client_count);
    await(&received, wanted);
    if (is_measured) shut_window();
    if (check) {
      sent[0] = 0, wanted += client_count;
      post(senders, BROADCAST, PAD, now());
      await(&received, wanted);
    }
    wait_seconds(0.02);
    for (int n = 0; n < client_count; n++) {
      lost += waiting + check - clients[n].next[0];
      clients[n].next[0] = 0;
      leave(clients + n);
    }
  }
  report("visits");
}

static long resident_kib(int pid) {
  char path[64];
  long pages = 0;
  snprintf(path, sizeof path, "/proc/%d/statm", pid);
  FILE *file = fopen(path, "r");
  if (!file || fscanf(file, "%*d %ld", &pages) != 1) die("no memory to read of", path);
  fclose(file);
  return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

/* Connects a tenth first, so that one-time costs are not counted. */
static void hold(int pid, double rest) {
  int first = client_count / 10;
  open_all(clients, first);
  wait_seconds(rest);
  long before = resident_kib(pid);
  open_all(clients + first, client_count - first);
  wait_seconds(rest);
  added = client_count - first, added_kib = resident_kib(pid) - before;
}

static void read_tokens(const char *path, int count) {
  char *text = calloc(1, 1 << 24);
  FILE *file = fopen(path, "r");
  if (!file || !fread(text, 1, (1 << 24) - 1, file)) die("no tokens in", path);
  fclose(file);
  tokens = calloc(count, sizeof *tokens);
  for (int n = 0; n < count; n++)
    if (!(tokens[n] = strtok(n ? NULL : text, "\n"))) die("too few tokens in", path);
}

/* Numbers of an option, separated by commas. */
static int numbers_of(const char *name, int *numbers, int is_needed) {
  int count = 0;
  for (const char *text = text_of(name, ""); *text; text += strcspn(text, ","), text += *text == ',') {
    if (count == MAX_PROCESSES) die("too many of", name);
    numbers[count++] = atoi(text);
  }
  if (!count && is_needed) die("an option is missing:", name);
  return count;
}

static struct client *new_clients(int count, int first_user, int is_counted) {
  struct client *group = calloc(count + 1, sizeof *group);
  for (int n = 0; n < count; n++)
    group[n] = (struct client){{CLIENT, -1}, .user = first_user + n, .is_counted = is_counted,
                               .rest = calloc(1, 1), .next = calloc(lanes, sizeof(uint32_t))};
  return group;
}

int main(int count, char **list) {
  arg_count = count, arg_list = list;
  const char *mode = text_of("mode", "flow"), *to = text_of("target", "channel");
  double warm = number_of("warm", "2"), seconds = number_of("measure", "3");
  int pids[MAX_PROCESSES];
  host = text_of("host", "127.0.0.1"), key = text_of("key", ""), query = text_of("query", "");
  clock_count = numbers_of("pid", pids, 0), port_count = numbers_of("port", ports, 1);
  channel = text_of("channel", ""), acks = (int)number_of("acks", "0"), is_sse = !strcmp(text_of("transport", "ws"), "sse");
  is_socket_io = !strcmp(text_of("transport", "ws"), "socket.io");
  is_centrifugo = !strcmp(text_of("transport", "ws"), "centrifugo");
  ready_word = is_centrifugo ? "\"connect\"" : *channel ? "\"subscribed\"" : is_sse ? "\"connected\"" : "";
  target = !strcmp(to, "user") ? USER : !strcmp(to, "redis") ? REDIS : !strcmp(to, "broadcast") ? BROADCAST : CHANNEL;
  client_count = (int)number_of("clients", "0"), idle_count = (int)number_of("idle", "0");
  sender_count = (int)number_of("senders", "1"), window_size = (int)number_of("window", "1000");
  stride = (int)number_of("stride", "1");
  users = (int)number_of("users", "0") ?: client_count;
  lanes = target == USER || target == REDIS ? 1 : sender_count;
  sent = calloc(users + lanes + 1, sizeof *sent);
  for (int n = 0; n < clock_count; n++)
    if (clock_getcpuclockid((pid_t)pids[n], server_clocks + n)) die("no process to measure", "");
  epoll = epoll_create1(0);
  read_tokens(text_of("tokens", "/dev/null"), client_count + idle_count + (idle_count > 0));
  clients = new_clients(client_count, 0, 1), idlers = new_clients(idle_count, client_count, 0);
  flooded = *new_clients(1, client_count + idle_count, 0);
  senders = calloc(sender_count + 1, sizeof *senders);
  printf("{\"windows\":[");
  if (!strcmp(mode, "flow")) flow(warm, seconds, number_of("rate", "0"));
  else if (!strcmp(mode, "visit")) visit(warm, seconds, (int)number_of("waiting", "0"), (int)number_of("check", "0"));
  else if (!strcmp(mode, "hold")) hold(pids[0], seconds);
  else die("no such mode", mode);
  printf("],\"lost\":%lu,\"repeated\":%lu,\"refused\":%lu,\"dropped\":%lu,\"added\":%d,\"added_kib\":%ld}\n", lost,
         repeated, refused, dropped, added, added_kib);
  return 0;
}
