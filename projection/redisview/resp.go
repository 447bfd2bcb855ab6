package redisview

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// A respReader reads what Redis says in the protocol RESP3. Pushes are told to
// pushed and never are part of a reply: Redis 6 sends some in the middle of one.
type respReader struct {
	r      *bufio.Reader
	pushed func(*reply)
}

// A reply is one value in RESP3. Strings, errors and numbers have text; arrays,
// sets, maps and pushes have elems. Null has neither and the kind '_'.
type reply struct {
	kind  byte
	text  []byte
	elems []reply
}

const (
	maxBulk     = 512 << 20 // bytes in one string, as in Redis
	maxDepth    = 8         // of arrays in arrays
	maxPrealloc = 1024      // elements, before any of them was seen
)

var errProtocol = errors.New("the server does not speak RESP3 as expected")

// next returns the next value that is not a push.
func (r *respReader) next() (reply, error) { return r.value(0) }

func (r *respReader) value(depth int) (reply, error) {
	for {
		v, err := r.any(depth)
		switch {
		case err != nil:
			return reply{}, err
		case v.kind == '>':
			r.pushed(&v)
		case v.kind == '|': // an attribute of what follows
		default:
			return v, nil
		}
	}
}

func (r *respReader) any(depth int) (reply, error) {
	line, err := r.line()
	if err != nil {
		return reply{}, err
	}
	if len(line) == 0 || depth > maxDepth {
		return reply{}, errProtocol
	}
	v := reply{kind: line[0]}
	switch rest := line[1:]; v.kind {
	case '+', '-', ':', ',', '#', '(':
		v.text = append([]byte(nil), rest...)
		return v, nil
	case '_':
		return v, nil
	case '$', '=', '!':
		return r.bulk(v, rest)
	case '*', '~', '>':
		return r.array(v, rest, 1, depth)
	case '%', '|':
		return r.array(v, rest, 2, depth)
	}
	return reply{}, fmt.Errorf("%w: %q", errProtocol, line)
}

// line returns a line without its end. It is good until the next read.
func (r *respReader) line() ([]byte, error) {
	line, err := r.r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		return nil, errProtocol
	}
	if err != nil {
		return nil, err
	}
	if len(line) < 2 || line[len(line)-2] != '\r' {
		return nil, errProtocol
	}
	return line[:len(line)-2], nil
}

func length(text []byte, limit int) (int, error) {
	n, err := strconv.Atoi(string(text))
	if err != nil || n < -1 || n > limit {
		return 0, fmt.Errorf("%w: length %q", errProtocol, text)
	}
	return n, nil
}

func (r *respReader) bulk(v reply, size []byte) (reply, error) {
	n, err := length(size, maxBulk)
	if err != nil {
		return reply{}, err
	}
	if n < 0 {
		return reply{kind: '_'}, nil
	}
	v.text = make([]byte, n+2)
	if _, err := io.ReadFull(r.r, v.text); err != nil {
		return reply{}, err
	}
	if v.text[n] != '\r' || v.text[n+1] != '\n' {
		return reply{}, errProtocol
	}
	v.text = v.text[:n:n]
	return v, nil
}

func (r *respReader) array(v reply, size []byte, each, depth int) (reply, error) {
	n, err := length(size, maxBulk)
	if err != nil {
		return reply{}, err
	}
	if n < 0 {
		return reply{kind: '_'}, nil
	}
	v.elems = make([]reply, 0, min(n*each, maxPrealloc))
	for range n * each {
		elem, err := r.value(depth + 1)
		if err != nil {
			return reply{}, err
		}
		v.elems = append(v.elems, elem)
	}
	return v, nil
}

// refusal returns the error that a reply is, or nil.
func (v *reply) refusal() error {
	if v.kind == '-' || v.kind == '!' {
		return refusedError(v.text)
	}
	return nil
}

// A refusedError is what Redis says instead of doing what it was asked for.
type refusedError string

func (e refusedError) Error() string { return string(e) }

// RedisError has it taken for an error of go-redis.
func (refusedError) RedisError() {}

// appendCommand appends a command as it is sent.
func appendCommand(b []byte, args ...string) []byte {
	b = appendSize(b, '*', len(args))
	for _, arg := range args {
		b = appendSize(b, '$', len(arg))
		b = append(b, arg...)
		b = append(b, '\r', '\n')
	}
	return b
}

func appendSize(b []byte, kind byte, n int) []byte {
	b = append(b, kind)
	b = strconv.AppendInt(b, int64(n), 10)
	return append(b, '\r', '\n')
}
