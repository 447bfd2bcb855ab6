package esdbserver

import (
	"io"
	"log/slog"
	"net/http"
)

// newHTTP returns what answers HTTP/1.1 on the port: the two addresses that
// load balancers and test harnesses of EventStoreDB ask.
func (s *Server) newHTTP() *http.Server {
	h := http.NewServeMux()
	h.HandleFunc("GET /health/live", func(w http.ResponseWriter, _ *http.Request) {
		select {
		case <-s.stopping:
			w.WriteHeader(http.StatusServiceUnavailable)
		default:
			w.WriteHeader(http.StatusNoContent)
		}
	})
	h.HandleFunc("GET /ping", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		_, _ = io.WriteString(w, `{"text":"Ping request successfully handled"}`)
	})
	h.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, "no "+r.URL.Path+" here: this port speaks EventStoreDB's gRPC protocol, and HTTP for /health/live and /ping", http.StatusNotFound)
	})
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: helloTimeout,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
}
