<?php

declare(strict_types=1);

/** `$errorCode` is one of the API, or UNREACHABLE, UNEXPECTED_ANSWER. */
final class AraError extends RuntimeException
{
    public function __construct(
        public readonly string $errorCode,
        string $message,
        public readonly int $status = 0,
        public readonly float $retryAfter = 0,
    ) {
        parent::__construct("$errorCode: $message");
    }

    public function mayPass(): bool
    {
        // Refusals that pass, and answers of proxies in front of a service that is away.
        return in_array($this->status, [429, 502, 503, 504], true)
            || in_array($this->errorCode, ['UNREACHABLE', 'IDEMPOTENCY_IN_PROGRESS'], true);
    }
}

/** Sends notifications and signs tokens for clients. Copy this file; it needs PHP 8.1 and no package. */
final class Ara
{
    private const ATTEMPTS = 5;
    private const TIMEOUT_SECONDS = 10;
    private const FIRST_BACKOFF_SECONDS = 0.2;
    private const MAX_BACKOFF_SECONDS = 20;

    public function __construct(
        private readonly string $url,
        private readonly string $apiKey = '',
        private readonly string $secret = '',
    ) {
    }

    /**
     * Posts to /api/v1/notifications/<path>. The idempotency key is the same in all attempts, so that a repeat sends
     * nothing twice.
     *
     * @param array<string, mixed> $message
     * @return array<string, mixed>
     * @throws AraError
     */
    public function send(string $path, array $message, ?string $key = null): array
    {
        $key ??= bin2hex(random_bytes(16));
        $body = json_encode($message, JSON_THROW_ON_ERROR);
        for ($failures = 0; ; $failures++) {
            try {
                return $this->attempt($path, $body, $key);
            } catch (AraError $error) {
                if (!$error->mayPass() || $failures + 1 === self::ATTEMPTS) {
                    throw $error;
                }
                $backoff = min(self::MAX_BACKOFF_SECONDS, self::FIRST_BACKOFF_SECONDS * 2 ** $failures);
                usleep((int) (1e6 * max($error->retryAfter, $backoff * random_int(0, 1000) / 1000)));
            }
        }
    }

    /** Signs a token of a user (HS256) with the JWT_SECRET of the service. */
    public function token(string $user, int $seconds = 3600): string
    {
        $claims = ['sub' => $user, 'iat' => time(), 'exp' => time() + $seconds];
        $part = fn (array $value): string => self::encode(json_encode($value, JSON_THROW_ON_ERROR));
        $signed = $part(['alg' => 'HS256', 'typ' => 'JWT']) . '.' . $part($claims);
        return $signed . '.' . self::encode(hash_hmac('sha256', $signed, $this->secret, true));
    }

    /** @return array<string, mixed> */
    private function attempt(string $path, string $body, string $key): array
    {
        $headers = ['Content-Type: application/json', "X-API-Key: $this->apiKey", "Idempotency-Key: $key"];
        $http = ['method' => 'POST', 'header' => $headers, 'content' => $body]
            + ['timeout' => self::TIMEOUT_SECONDS, 'ignore_errors' => true, 'follow_location' => 0];
        $url = rtrim($this->url, '/') . "/api/v1/notifications/$path";
        $stream = @fopen($url, 'r', false, stream_context_create(['http' => $http]));
        if ($stream === false) {
            throw new AraError('UNREACHABLE', error_get_last()['message'] ?? 'no answer');
        }
        $head = implode("\n", stream_get_meta_data($stream)['wrapper_data']);
        $answer = json_decode((string) stream_get_contents($stream), true);
        fclose($stream);
        $status = preg_match('~^HTTP/\S+ (\d{3})~', $head, $match) ? (int) $match[1] : 0;
        if ($status === 200 && is_array($answer)) {
            return $answer;
        }
        if ($status === 200) {
            throw new AraError('UNREACHABLE', 'the answer broke off');
        }
        $retryAfter = preg_match('~^Retry-After: *(\d+)~im', $head, $match) ? (float) $match[1] : 0.0;
        ['code' => $code, 'message' => $text] = $answer['error']
            ?? ['code' => 'UNEXPECTED_ANSWER', 'message' => "status $status"];
        throw new AraError($code, $text, $status, $retryAfter);
    }

    private static function encode(string $data): string
    {
        return rtrim(strtr(base64_encode($data), '+/', '-_'), '=');
    }
}
