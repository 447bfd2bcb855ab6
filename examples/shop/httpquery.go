package main

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/projection"
	"github.com/foldstream/foldstream/query"
)

// Bounds of pages.
const (
	defaultPage = 20
	maxPage     = 100
	maxOffset   = 1_000_000
	defaultTop  = 10
	maxTop      = 1000
)

func (a *api) order(w http.ResponseWriter, r *http.Request) error {
	return ask[Summary](a, w, r, OrderOf{ID: r.PathValue("order")})
}

func (a *api) orders(w http.ResponseWriter, r *http.Request) error {
	limit, err := number(r, "limit", defaultPage, 1, maxPage)
	if err != nil {
		return err
	}
	offset, err := number(r, "offset", 0, 0, maxOffset)
	if err != nil {
		return err
	}
	return ask[[]Summary](a, w, r, OrdersOf{Customer: r.PathValue("customer"), Offset: offset, Limit: limit})
}

func (a *api) top(w http.ResponseWriter, r *http.Request) error {
	n, err := number(r, "n", defaultTop, 1, maxTop)
	if err != nil {
		return err
	}
	return ask[[]Sold](a, w, r, TopProducts{N: n})
}

// ask answers with what the query bus says, not before the views have what the
// asker has seen.
func ask[R, Q any](a *api, w http.ResponseWriter, r *http.Request, q Q) error {
	after, err := a.after(r)
	if err != nil {
		return err
	}
	answer, err := query.Ask[R](r.Context(), a.queries, q, query.AfterPosition(after))
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, "application/json", answer)
	return nil
}

// after returns the position that the asker wants to see, from the header of
// an earlier answer or from the address.
func (a *api) after(r *http.Request) (eventstore.Position, error) {
	var want eventstore.Position
	for _, text := range []string{r.Header.Get(headerPosition), r.URL.Query().Get("after")} {
		if text == "" {
			continue
		}
		p, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return 0, badRequest(http.StatusBadRequest, fmt.Sprintf("position %.32q: send a number from the header %s of an answer", text, headerPosition))
		}
		want = max(want, eventstore.Position(p))
	}
	if want == 0 {
		return 0, nil
	}
	head, err := a.store.Head(r.Context())
	if err == nil && want > head {
		err = badRequest(http.StatusBadRequest, fmt.Sprintf("position %d is none of this shop's, which is at %d", want, head))
	}
	return want, err
}

func number(r *http.Request, name string, or, low, high int) (int, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return or, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < low || n > high {
		return 0, badRequest(http.StatusBadRequest, fmt.Sprintf("%s=%.32s: must be a whole number from %d to %d", name, text, low, high))
	}
	return n, nil
}

// viewHealth is what operators see of a view.
type viewHealth struct {
	View       string              `json:"view"`
	State      projection.State    `json:"state"`
	Version    int                 `json:"version"`
	Position   eventstore.Position `json:"position"`
	Head       eventstore.Position `json:"head"`
	Lag        uint64              `json:"lag"`
	LagSeconds float64             `json:"lag_seconds"`
	Rate       float64             `json:"rate"`
	Parked     int64               `json:"parked"`
	LastError  string              `json:"last_error,omitempty"`
	LastErrAt  *time.Time          `json:"last_error_at,omitempty"`
}

func healthOf(s projection.Status) viewHealth {
	h := viewHealth{
		View: s.View, State: s.State, Version: s.Version, Position: s.Position, Head: s.Head,
		Lag: s.Lag, LagSeconds: s.LagSeconds, Rate: s.Rate, Parked: s.Parked,
	}
	if s.Err != nil {
		h.LastError = s.Err.Error()
		if !s.ErrAt.IsZero() {
			h.LastErrAt = &s.ErrAt
		}
	}
	return h
}

// health answers 503 when a view cannot go on; a view that is only late is
// healthy.
func (a *api) health(w http.ResponseWriter, r *http.Request) error {
	all, err := a.runner.Status(r.Context())
	if err != nil {
		return err
	}
	status, views := http.StatusOK, make([]viewHealth, len(all))
	for i, s := range all {
		if views[i] = healthOf(s); s.State == projection.StateFailed {
			status = http.StatusServiceUnavailable
		}
	}
	writeJSON(w, status, "application/json", map[string]any{"ok": status == http.StatusOK, "views": views})
	return nil
}
