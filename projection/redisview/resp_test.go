package redisview_test

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/projection/redisview"
)

func TestRESP3IsRead(t *testing.T) {
	t.Parallel()
	list := func(v ...any) []any { return v }
	for in, want := range map[string][]any{
		"+OK\r\n:12\r\n":                        {"OK", "12"},
		"$3\r\na\r\n\r\n$0\r\n\r\n$-1\r\n_\r\n": {"a\r\n", "", nil, nil},
		"*2\r\n*0\r\n*-1\r\n":                   {list([]any{}, nil)},
		"%1\r\n+a\r\n,1.5\r\n#t\r\n(123\r\n":    {list("a", "1.5"), "t", "123"},
		"=7\r\ntxt:abc\r\n~1\r\n+a\r\n":         {"txt:abc", list("a")},
		"|1\r\n+k\r\n+v\r\n+OK\r\n":             {"OK"},
		"*2\r\n+a\r\n>2\r\n+in\r\n+x\r\n+b\r\n": {list("a", "b")}, // as Redis 6 does
		">1\r\n+first\r\n+a\r\n>1\r\n+then\r\n": {"a"},
	} {
		got, pushes, err := redisview.ReadRESP(strings.NewReader(in))
		require.ErrorIs(t, err, io.EOF, in)
		require.Equal(t, want, got, in)
		require.Len(t, pushes, strings.Count(in, ">"), in)
	}
	got, _, err := redisview.ReadRESP(strings.NewReader("-NOPERM no\r\n!3\r\nERR\r\n"))
	require.ErrorIs(t, err, io.EOF)
	var refused redis.Error
	require.ErrorAs(t, got[0].(error), &refused)
	require.EqualError(t, got[0].(error), "NOPERM no")
	require.EqualError(t, got[1].(error), "ERR")
}

func TestWhatIsNotRESP3IsRefused(t *testing.T) {
	t.Parallel()
	for _, in := range []string{
		"\r\n", "\n", "+a\n", "?\r\n", "$x\r\n", "$-2\r\n", "$3\r\nabcd\r\n", "*99999999999\r\n", "$600000000\r\n",
		"HTTP/1.1 400\r\n", "+" + strings.Repeat("a", 100) + "\r\n", strings.Repeat("*1\r\n", 20),
	} {
		_, _, err := redisview.ReadRESP(strings.NewReader(in))
		require.ErrorContains(t, err, "RESP3", "%q", in)
	}
}

func FuzzRESP3(f *testing.F) {
	f.Add([]byte("*2\r\n+a\r\n>2\r\n+in\r\n$1\r\nx\r\n+b\r\n%1\r\n_\r\n:1\r\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		_, _, err := redisview.ReadRESP(bytes.NewReader(in))
		require.Error(t, err) // at the latest at the end
	})
}
