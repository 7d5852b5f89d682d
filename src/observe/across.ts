/** How one number is made of those of several processes; `worker`: each keeps its own, with a label. */
export type Across = 'sum' | 'min' | 'max' | 'worker'

/** Metrics that are not summed over processes. */
const OTHERS: Readonly<Record<string, Across>> = {
  // Each process sees the whole of a shared store, stream or cluster.
  ara_queue_size_total: 'max',
  ara_queue_users_total: 'max',
  ara_store_bytes: 'max',
  ara_store_max_bytes: 'max',
  ara_redis_stream_pending: 'max',
  ara_cluster_nodes: 'max',
  // A state is as bad as that of the worst process.
  ara_store_up: 'min',
  ara_bus_up: 'min',
  ara_redis_connection_status: 'min',
  ara_redis_circuit_breaker_state: 'max',
  ara_build_info: 'max',
  ara_event_loop_lag_seconds: 'worker',
}

/** Counters, histograms and counts are summed. */
export const acrossOf = (name: string): Across =>
  name.startsWith('process_') ? 'worker' : (OTHERS[name] ?? 'sum')
