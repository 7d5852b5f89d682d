package main

import (
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"os"
	"strconv"
	"time"
)

var ara = &Ara{
	URL:    env("ARA_URL", "http://localhost:8081"),
	APIKey: os.Getenv("API_KEY"),
	Secret: os.Getenv("JWT_SECRET"),
	HTTP:   &http.Client{Timeout: 10 * time.Second},
}

func env(name, fallback string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return fallback
}

// signedInUser stands for your session: replace it.
func signedInUser(*http.Request) string { return "alice" }

func token(w http.ResponseWriter, r *http.Request) {
	token, err := ara.Token(signedInUser(r), time.Hour)
	if err != nil {
		log.Print(err)
		http.Error(w, "no token", http.StatusInternalServerError)
		return
	}
	fmt.Fprint(w, token)
}

func ship(w http.ResponseWriter, r *http.Request) {
	order, err := strconv.Atoi(r.URL.Query().Get("order"))
	if err != nil || r.Method != http.MethodPost {
		http.NotFound(w, r)
		return
	}
	message := Message{signedInUser(r), "order.shipped", map[string]int{"order": order}}
	// The key stands for the event: however often this runs, the user gets one notification.
	result, err := ara.Send(r.Context(), "send", message, fmt.Sprintf("order-%d-shipped", order))
	if err != nil {
		log.Print(err)
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	json.NewEncoder(w).Encode(result)
}

func main() {
	if ara.Secret == "" {
		log.Fatal("set JWT_SECRET")
	}
	http.HandleFunc("/token", token)
	http.HandleFunc("/ship", ship)
	address := "127.0.0.1:" + env("PORT", "3000")
	log.Print("backend: http://", address)
	log.Fatal(http.ListenAndServe(address, nil))
}
