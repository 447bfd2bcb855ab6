package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"

	"github.com/redis/go-redis/v9"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/examples/shop/terms"
	"github.com/foldstream/foldstream/projection"
)

// A problem is an answer that is no success, see RFC 9457.
type problem struct {
	Type     string              `json:"type"`
	Title    string              `json:"title"`
	Status   int                 `json:"status"`
	Detail   string              `json:"detail"`
	Rule     string              `json:"rule,omitempty"`     // of the business
	Position eventstore.Position `json:"position,omitempty"` // committed, though a view is late

	retryAfter string
}

func (p *problem) Error() string { return p.Detail }

// problemOf turns an error into what the sender is told.
func problemOf(err error) *problem {
	var (
		p       *problem
		refusal *terms.Refusal
		late    *eventstore.NotCaughtUpError
		gone    *eventstore.UnavailableError
		network net.Error
	)
	switch {
	case errors.As(err, &p):
		return p
	case errors.As(err, &refusal):
		return &problem{Title: "Refused", Status: statusOf(refusal.Kind), Detail: refusal.Text, Rule: refusal.Rule}
	case errors.Is(err, eventstore.ErrInvalid), errors.Is(err, eventstore.ErrTooLarge):
		return &problem{Title: "Refused", Status: http.StatusUnprocessableEntity, Detail: err.Error(), Rule: terms.ErrID.Rule}
	case errors.Is(err, projection.ErrNotFound):
		return &problem{Title: "Not found", Status: http.StatusNotFound, Detail: "there is nothing under this id"}
	case errors.As(err, &late):
		return unavailable("View late", late.Error()).at(late.Want)
	case errors.Is(err, projection.ErrNotBuilt):
		return unavailable("View not built", "the view is being built; ask again")
	case errors.As(err, &network) && !errors.Is(err, context.DeadlineExceeded), errors.Is(err, io.EOF), redis.HasErrorPrefix(err, "LOADING"):
		return unavailable("Views unavailable", "the views cannot be read now; commands are still taken")
	case errors.As(err, &gone) && !gone.Uncertain, errors.Is(err, eventstore.ErrConflict):
		return unavailable("Unavailable", "nothing was written; try again: "+err.Error())
	case errors.As(err, &gone), errors.Is(err, eventstore.ErrClosed),
		errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return unavailable("Uncertain", "it is uncertain whether this was carried out; repeat it with the same Idempotency-Key: "+err.Error())
	}
	return &problem{Title: "Internal error", Status: http.StatusInternalServerError, Detail: "this is a fault of the shop; it is in its log"}
}

func statusOf(k terms.Kind) int {
	switch k {
	case terms.Unknown:
		return http.StatusNotFound
	case terms.Invalid:
		return http.StatusUnprocessableEntity
	case terms.Conflict:
	}
	return http.StatusConflict
}

func unavailable(title, detail string) *problem {
	return &problem{Title: title, Status: http.StatusServiceUnavailable, Detail: detail, retryAfter: "1"}
}

func (p *problem) at(pos eventstore.Position) *problem {
	p.Position = pos
	return p
}

// badRequest is a request that is no command and no query.
func badRequest(status int, detail string) *problem {
	return &problem{Title: http.StatusText(status), Status: status, Detail: detail}
}

// write sends the problem.
func (p *problem) write(w http.ResponseWriter) {
	p.Type = "about:blank"
	if p.Rule != "" {
		p.Type = "urn:foldstream:shop:" + p.Rule
	}
	if p.retryAfter != "" {
		w.Header().Set("Retry-After", p.retryAfter)
	}
	writeJSON(w, p.Status, "application/problem+json", p)
}

func writeJSON(w http.ResponseWriter, status int, contentType string, body any) {
	data, err := json.Marshal(body)
	if err != nil { // no value of ours fails
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(append(data, '\n')) // the client may have gone
}
