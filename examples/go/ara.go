package main

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	mathrand "math/rand"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	attempts     = 5
	firstBackoff = 200 * time.Millisecond
	maxBackoff   = 20 * time.Second
)

// Ara sends notifications and signs tokens for clients. Copy this file; it needs no other module.
type Ara struct {
	URL    string
	APIKey string
	Secret string
	HTTP   *http.Client
}

// Message is the body of a send to one user; the API has more fields.
type Message struct {
	TargetUserID string `json:"target_user_id"`
	EventType    string `json:"event_type"`
	Payload      any    `json:"payload"`
}

// Result is the answer to a send.
type Result struct {
	NotificationID string `json:"notification_id"`
	Status         string `json:"status"`
	DeliveredTo    int    `json:"delivered_to"`
	Queued         int    `json:"queued"`
}

// Error has a code of the API, or UNREACHABLE, UNEXPECTED_ANSWER.
type Error struct {
	Code       string
	Message    string
	Status     int
	RetryAfter time.Duration
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }

// mayPass reports refusals that pass, and answers of proxies in front of a service that is away.
func (e *Error) mayPass() bool {
	switch e.Status {
	case 429, 502, 503, 504:
		return true
	}
	return e.Code == "UNREACHABLE" || e.Code == "IDEMPOTENCY_IN_PROGRESS"
}

// Send posts to /api/v1/notifications/<path>. The idempotency key is the same in all attempts, so that a repeat sends
// nothing twice; an empty one is replaced by a random one.
func (a *Ara) Send(ctx context.Context, path string, message any, key string) (*Result, error) {
	body, err := json.Marshal(message)
	if err != nil {
		return nil, err
	}
	if key == "" {
		key = randomKey()
	}
	for failures := 0; ; failures++ {
		result, err := a.attempt(ctx, path, body, key)
		var refusal *Error
		if !errors.As(err, &refusal) || !refusal.mayPass() || failures+1 == attempts {
			return result, err
		}
		backoff := min(maxBackoff, firstBackoff<<failures)
		wait := max(refusal.RetryAfter, time.Duration(mathrand.Int63n(int64(backoff))))
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (a *Ara) attempt(ctx context.Context, path string, body []byte, key string) (*Result, error) {
	url := strings.TrimRight(a.URL, "/") + "/api/v1/notifications/" + path
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("X-API-Key", a.APIKey)
	request.Header.Set("Idempotency-Key", key)
	response, err := a.HTTP.Do(request)
	if err != nil {
		return nil, &Error{Code: "UNREACHABLE", Message: err.Error()}
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, refusalOf(response)
	}
	var result Result
	if err := json.NewDecoder(response.Body).Decode(&result); err != nil {
		return nil, &Error{Code: "UNREACHABLE", Message: err.Error()}
	}
	return &result, nil
}

func refusalOf(response *http.Response) *Error {
	seconds, _ := strconv.Atoi(response.Header.Get("Retry-After"))
	refusal := &Error{Status: response.StatusCode, RetryAfter: time.Duration(seconds) * time.Second}
	var envelope struct {
		Error struct{ Code, Message string }
	}
	if err := json.NewDecoder(response.Body).Decode(&envelope); err != nil || envelope.Error.Code == "" {
		// The answer of a proxy.
		refusal.Code, refusal.Message = "UNEXPECTED_ANSWER", response.Status
	} else {
		refusal.Code, refusal.Message = envelope.Error.Code, envelope.Error.Message
	}
	return refusal
}

// Token signs a token of a user (HS256) with the JWT_SECRET of the service.
func (a *Ara) Token(user string, ttl time.Duration) (string, error) {
	now := time.Now()
	claims, err := json.Marshal(map[string]any{"sub": user, "iat": now.Unix(), "exp": now.Add(ttl).Unix()})
	if err != nil {
		return "", err
	}
	encode := base64.RawURLEncoding.EncodeToString
	signed := encode([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + encode(claims)
	mac := hmac.New(sha256.New, []byte(a.Secret))
	fmt.Fprint(mac, signed)
	return signed + "." + encode(mac.Sum(nil)), nil
}

func randomKey() string {
	key := make([]byte, 16)
	if _, err := rand.Read(key); err != nil {
		panic(err)
	}
	return hex.EncodeToString(key)
}
