package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"path"
	"strconv"

	"github.com/foldstream/foldstream/command"
	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/examples/shop/cart"
	"github.com/foldstream/foldstream/examples/shop/terms"
	"github.com/foldstream/foldstream/projection"
	"github.com/foldstream/foldstream/query"
)

// Headers of the shop.
const (
	headerPosition = "Foldstream-Position" // of what a command wrote; a GET that sends it back sees that
	headerID       = "Idempotency-Key"     // of a command; the same again does nothing
)

// maxBody is more than any command needs.
const maxBody = 64 << 10

// api is the shop over HTTP.
type api struct {
	commands *command.Bus
	queries  *query.Bus
	store    eventstore.Store
	runner   *projection.Runner
	log      *slog.Logger
}

// handler returns all endpoints. Over each command stands the type of message
// that its path and body make.
func (a *api) handler() http.Handler {
	mux := http.NewServeMux()
	for pattern, name := range map[string]string{
		"POST /carts/{cart}/items":         "AddItem",
		"DELETE /carts/{cart}/items/{sku}": "RemoveItem",
		"POST /carts/{cart}/coupon":        "ApplyCoupon",
		"POST /carts/{cart}/shipper":       "ChooseShipper",
		"POST /carts/{cart}/checkout":      "Checkout",
		"POST /orders/{order}/pay":         "PayOrder",
		"POST /orders/{order}/ship":        "ShipOrder",
		"POST /orders/{order}/cancel":      "CancelOrder",
	} {
		mux.Handle(pattern, a.endpoint(a.command(kinds[name])))
	}
	for pattern, answer := range map[string]endpoint{
		"GET /orders/{order}":              a.order,
		"GET /customers/{customer}/orders": a.orders,
		"GET /products/top":                a.top,
		"GET /healthz":                     a.health,
	} {
		mux.Handle(pattern, a.endpoint(answer))
	}
	return known(mux)
}

// known answers what no pattern matches with a problem as well.
func known(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h, pattern := mux.Handler(r)
		if p := r.URL.EscapedPath(); path.Clean(p) != p { // the mux would redirect
			pattern, h = "", http.NotFoundHandler()
		}
		if pattern != "" {
			mux.ServeHTTP(w, r)
			return
		}
		said := &statusWriter{header: http.Header{}}
		h.ServeHTTP(said, r)
		if said.status == http.StatusMethodNotAllowed {
			w.Header().Set("Allow", said.header.Get("Allow"))
			badRequest(said.status, fmt.Sprintf("%s is not for this path; %s is", r.Method, said.header.Get("Allow"))).write(w)
			return
		}
		badRequest(http.StatusNotFound, "there is no such path").write(w)
	})
}

// statusWriter keeps the status of an answer and drops its body.
type statusWriter struct {
	header http.Header
	status int
}

func (s *statusWriter) Header() http.Header         { return s.header }
func (s *statusWriter) Write(p []byte) (int, error) { return len(p), nil }
func (s *statusWriter) WriteHeader(status int)      { s.status = status }

// An endpoint answers a request, or says in its error why not.
type endpoint func(w http.ResponseWriter, r *http.Request) error

func (a *api) endpoint(answer endpoint) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := answer(w, r)
		if err == nil {
			return
		}
		p := problemOf(err)
		if p.Status >= http.StatusInternalServerError && r.Context().Err() == nil {
			a.log.ErrorContext(r.Context(), "request failed", "method", r.Method, "path", r.URL.Path, "status", p.Status, "error", err)
		}
		p.write(w)
	})
}

// acceptedAnswer is the answer to a command.
type acceptedAnswer struct {
	eventstore.Receipt
	Order string `json:"order,omitempty"` // of a checkout
}

func (a *api) command(k kind) endpoint {
	return func(w http.ResponseWriter, r *http.Request) error {
		m, err := a.message(w, r)
		if err != nil {
			return err
		}
		cmd, err := k.command(m)
		if err != nil {
			return badRequest(http.StatusBadRequest, err.Error())
		}
		opts, err := sendOptions(r)
		if err != nil {
			return err
		}
		receipt, err := command.Send(r.Context(), a.commands, cmd, opts...)
		if err != nil {
			return err
		}
		answer, status := acceptedAnswer{Receipt: receipt}, http.StatusOK
		// A checkout whose key another command of the cart had has no order.
		if category, id := eventstore.SplitStream(receipt.Stream); category == "order" && isCheckout(cmd) {
			answer.Order = id
			if w.Header().Set("Location", "/orders/"+url.PathEscape(answer.Order)); !receipt.Repeated {
				status = http.StatusCreated
			}
		}
		w.Header().Set(headerPosition, strconv.FormatUint(uint64(receipt.Position), 10))
		writeJSON(w, status, "application/json", answer)
		return nil
	}
}

func isCheckout(cmd any) bool {
	_, ok := cmd.(cart.Checkout)
	return ok
}

// message joins what the path and the body say.
func (a *api) message(w http.ResponseWriter, r *http.Request) (message, error) {
	m := message{texts: map[string]string{}, numbers: map[string]int64{}}
	if r.Method != http.MethodDelete {
		var err error
		if m, err = body(w, r); err != nil {
			return m, err
		}
	}
	for _, name := range []string{"cart", "order", "sku"} {
		if name == "order" && r.PathValue("cart") != "" {
			continue // a checkout has it in the body
		}
		value := r.PathValue(name)
		if value == "" {
			continue
		}
		if _, ok := m.texts[name]; ok {
			return m, badRequest(http.StatusBadRequest, fmt.Sprintf("field %q is in the path; leave it out of the body", name))
		}
		m.texts[name] = value
	}
	return m, nil
}

// curlDefault is what curl -d says of a body unless told otherwise. It is read
// as JSON all the same, and refused when it is not.
const curlDefault = "application/x-www-form-urlencoded"

func body(w http.ResponseWriter, r *http.Request) (message, error) {
	if ct := r.Header.Get("Content-Type"); ct != "" && ct != curlDefault {
		if media, _, err := mime.ParseMediaType(ct); err != nil || media != "application/json" {
			return message{}, badRequest(http.StatusUnsupportedMediaType, fmt.Sprintf("content type %.64q: send application/json", ct))
		}
	}
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return message{}, badRequest(http.StatusRequestEntityTooLarge, fmt.Sprintf("the body is longer than %d bytes", maxBody))
	case err != nil:
		return message{}, badRequest(http.StatusBadRequest, "the body could not be read: "+err.Error())
	case len(data) == 0:
		return message{}, badRequest(http.StatusBadRequest, "the body is empty; send a JSON object")
	}
	m, err := parseMessage(data)
	if err != nil {
		return m, badRequest(http.StatusBadRequest, err.Error())
	}
	return m, nil
}

func sendOptions(r *http.Request) ([]command.SendOption, error) {
	if _, ok := r.Header[headerID]; !ok {
		return nil, nil
	}
	id := r.Header.Get(headerID)
	if err := terms.CheckID(headerID, id); err != nil {
		return nil, badRequest(http.StatusBadRequest, err.Error())
	}
	return []command.SendOption{command.WithID(id)}, nil
}
