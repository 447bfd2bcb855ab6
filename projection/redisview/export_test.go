package redisview

import (
	"bufio"
	"io"
)

// WireOptions is for tests of what a session does with a client's options.
var WireOptions = wireOptions

// ReadThrough has s read documents through c, in whatever layout.
func ReadThrough(s *Store, c *ClientCache) error { return c.attachTo(s, true) }

// ReadRESP reads values in RESP3 until there are no more, and returns them and
// the pushes among them in the notation of Go.
func ReadRESP(r io.Reader) (values, pushes []any, err error) {
	in := respReader{r: bufio.NewReaderSize(r, 64), pushed: func(v *reply) { pushes = append(pushes, plain(v)) }}
	for {
		v, err := in.next()
		if err != nil {
			return values, pushes, err
		}
		values = append(values, plain(&v))
	}
}

func plain(v *reply) any {
	if err := v.refusal(); err != nil {
		return err
	}
	if v.kind == '_' {
		return nil
	}
	if v.elems == nil {
		return string(v.text)
	}
	all := make([]any, len(v.elems))
	for i := range v.elems {
		all[i] = plain(&v.elems[i])
	}
	return all
}
