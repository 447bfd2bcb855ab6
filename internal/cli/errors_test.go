package cli_test

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/esdbstore"
	"github.com/foldstream/foldstream/internal/cli"
)

func write(t *testing.T, file, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
}

// oneLine checks that an error is one line.
func oneLine(t *testing.T, code int, want string, got result) {
	t.Helper()
	assert.Equal(t, code, got.code)
	assert.Equal(t, "foldstream: "+want+"\n", got.err)
	assert.Empty(t, got.out)
}

func TestErrorsNameTheValueAndTheRemedy(t *testing.T) {
	t.Parallel()
	r := newRig()
	r.seed(t)
	r.must(t, "append", "dead-1", "-t", "x")
	r.must(t, "delete", "dead-1", "--hard", "--yes")
	const where = "esdb://127.0.0.1:2113?tls=false"
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"read", "nope"}, `stream "nope" not found at ` + where + `; foldstream streams list shows what is there`},
		{[]string{"delete", "nope"}, `stream "nope" does not exist; foldstream streams list shows what is there`},
		{[]string{"delete", "order-1", "--expected", "7"}, `stream "order-1" is at version 2, expected version 7; read what is new in it, then give --expected 2`},
		{[]string{"append", "order-1", "-t", "x", "--expected", "none"}, `stream "order-1" exists already, it is at version 2; give --expected 2, exists or any`},
		{[]string{"append", "order-1", "-t", "x", "--expected", "1"}, `stream "order-1" is at version 2, expected version 1; read what is new in it, then give --expected 2`},
		{[]string{"append", "new-1", "-t", "x", "--expected", "3"}, `stream "new-1" does not exist, expected version 3; give --expected none or any`},
		{[]string{"append", "new-1", "-t", "x", "--expected", "exists"}, `stream "new-1" does not exist; foldstream streams list shows what is there`},
		{[]string{"read", "dead-1"}, `stream "dead-1" was deleted for ever; its name cannot be used again, use another one`},
		{[]string{"append", "dead-1", "-t", "x"}, `stream "dead-1" was deleted for ever; its name cannot be used again, use another one`},
		{[]string{"tail", "dead-1"}, `stream "dead-1" was deleted for ever; its name cannot be used again, use another one`},
		{[]string{"append", "$all", "-t", "x"}, `invalid stream name "$all": $all stands for all streams; it cannot be written or read as one`},
		{[]string{"append", "big-1", "-t", "x", "-d", `"` + strings.Repeat("y", 1<<20) + `"`}, `append of 1048580 bytes to stream "big-1" is over the limit of 1048576 bytes; append fewer events at once, or let the server take more (foldstream serve --max-append-size)`},
	} {
		oneLine(t, 1, c.want, r.run(t.Context(), "", c.args...))
	}
}

// A failing store answers everything with an error.
type failing struct {
	eventstore.Store

	err error
}

func (f failing) Append(context.Context, string, eventstore.Expected, ...eventstore.Event) (eventstore.Receipt, error) {
	return eventstore.Receipt{}, f.err
}

func (f failing) Read(context.Context, string, eventstore.ReadOptions) iter.Seq2[eventstore.Recorded, error] {
	return func(yield func(eventstore.Recorded, error) bool) { yield(eventstore.Recorded{}, f.err) }
}

func TestErrorsOfTheConnection(t *testing.T) {
	t.Parallel()
	refused := errors.New(`[ErrorUnavailable] last: rpc error: code = Unavailable desc = connection error: desc = "transport: connection refused"`)
	handshake := errors.New(`desc = "tls: first record does not look like a TLS handshake"`)
	unknown := errors.New(`desc = "x509: certificate signed by unknown authority"`)
	const secure, insecure, anonymous = "esdb://ada:s3cret@h:2113", "esdb://ada:s3cret@h:2113?tls=false", "esdb://h:2113"
	for _, c := range []struct {
		name, connection string
		args             []string
		err              error
		want             string
	}{
		{
			"unavailable", secure, []string{"read", "s"}, &eventstore.UnavailableError{Op: "read s", Err: refused},
			"esdb://ada:***@h:2113 does not answer: connection refused; is it running, and is --connection right (also FOLDSTREAM_URL, ESDB_URL)?",
		},
		{
			"plain text", anonymous, []string{"read", "s"}, &eventstore.UnavailableError{Op: "read s", Err: handshake},
			"esdb://h:2113 does not answer: tls: first record does not look like a TLS handshake; is it running, and is --connection right (also FOLDSTREAM_URL, ESDB_URL)? It seems to speak without TLS: add ?tls=false",
		},
		{
			"self-signed", anonymous, []string{"read", "s"}, &eventstore.UnavailableError{Op: "read s", Err: unknown},
			"esdb://h:2113 does not answer: x509: certificate signed by unknown authority; is it running, and is --connection right (also FOLDSTREAM_URL, ESDB_URL)? For a certificate of your own add ?tlsCAFile=/path/of/cert.pem, for none that counts ?tlsVerifyCert=false",
		},
		{
			"uncertain", secure, []string{"append", "s", "-t", "x", "--id", id(7)}, &eventstore.UnavailableError{Op: "append to s", Uncertain: true, Err: refused},
			"append event " + id(7) + ": uncertain whether it was written, the connection to esdb://ada:***@h:2113 was lost: connection refused; repeat it with the same --id and --expected, or read the stream",
		},
		{
			"denied", secure, []string{"read", "s"}, eventstore.ErrAccessDenied,
			"access denied at esdb://ada:***@h:2113: this user has no right to it; use another one, or change the access list of the stream",
		},
		{
			"without TLS", insecure, []string{"read", "s"}, eventstore.ErrAccessDenied,
			"access denied at esdb://ada:***@h:2113?tls=false: clients send no credentials without TLS, so the server does not know you; use TLS",
		},
		{
			"without credentials", anonymous, []string{"read", "s"}, eventstore.ErrAccessDenied,
			"access denied at esdb://h:2113: the connection string has no credentials; write esdb://user:password@host:port",
		},
		{"another", anonymous, []string{"read", "s"}, errors.New("esdbstore: two\nlines"), "two; lines"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var out, notes bytes.Buffer
			code := cli.RunWith(t.Context(), append([]string{"streams", "-c", c.connection}, c.args...), strings.NewReader(""), &out, &notes,
				func(string, *esdbstore.Options) (eventstore.Store, error) {
					return failing{Store: kept{newRig().store}, err: c.err}, nil
				})
			oneLine(t, 1, c.want, result{code, out.String(), notes.String()})
		})
	}
}

func TestRedactHidesPasswords(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"esdb://h:2113?tls=false":           "esdb://h:2113?tls=false",
		"esdb://ada:s3cret@h:2113?tls=true": "esdb://ada:***@h:2113?tls=true",
		"esdb+discover://ada:s3@cret@h,i,j": "esdb+discover://ada:***@h,i,j",
		"esdb://ada:s3?cret@h:2113":         "esdb://***",
		"nonsense":                          "the given connection string",
	} {
		assert.Equal(t, want, cli.Redact(in))
	}
}

func TestInterruptedCommandsSaySo(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := newRig()
	r.seed(t)
	oneLine(t, 1, "interrupted", r.run(ctx, "", "read", "order-1"))
	oneLine(t, 1, "interrupted", r.run(ctx, "", "list"))
	assert.Equal(t, result{}, r.run(ctx, "", "tail"))
}

func TestWrongUsageIsToldApart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for args, want := range map[string]string{
		"":                                    "foldstream: expected one of \"serve\", \"streams\", \"projections\", \"commands\", \"log\", ...\ntry: foldstream --help\n",
		"nonsense":                            "unexpected argument nonsense\ntry: foldstream --help\n",
		"streams":                             "expected one of",
		"streams append s":                    "an event needs a type; give --type, such as order.placed\ntry: foldstream streams append --help\n",
		"streams append s -t x -d {":          "data { is not JSON: unexpected end of JSON input; for other data give --content-type, such as text/plain\ntry: foldstream streams append --help\n",
		"streams append s -t x --metadata 3":  "--metadata: metadata 3 is not a JSON object",
		"streams append s -t x --expected -1": "--expected",
		"streams append s -t x --expected x":  "want any, none, exists or a version such as 3",
		"streams append s -t x --id 17":       "is not a UUID",
		"streams append s --lines -d 3":       "--data and --lines can't be used together",
		"streams read s --limit=-1":           "--limit -1 is negative; 0 means no limit",
		"streams read s --category c":         "--category and --system are for $all; s is one stream\ntry: foldstream streams read --help\n",
		"streams tail s --system":             "--category and --system are for $all; s is one stream\ntry: foldstream streams tail --help\n",
		"streams tail --from now":             "want start, end, or the version or position after which to begin",
		"streams -c http://h list":            "want esdb://[user:password@]host:2113",
		"streams -o xml list":                 "--output must be one of",
		"serve --memory --data " + dir:        "--data and --memory can't be used together",
		"serve --sync always":                 "--sync says when --data is written",
		"serve --sync sometimes":              "--sync must be one of",
		"serve --listen 2113":                 `--listen "2113" is not an address such as 127.0.0.1:2113`,
		"serve --advertise here":              `--advertise "here" is not an address such as 127.0.0.1:2113`,
		"serve --max-append-size 17MiB":       "want bytes from 1 to 16777216, such as 512KiB or 2MiB, got \"17MiB\"",
		"serve --max-append-size 0":           "want bytes from 1 to 16777216",
		"serve --scavenge-every 1h":           "--scavenge-every is about --data; give --data DIR, or leave it out",
		"serve --stop-timeout 0s":             "--stop-timeout 0s must be above zero",
		"serve --tls-cert errors_test.go":     "--tls-cert and --tls-key must be used together",
		"serve --users " + dir + "/none":      "no such file",
		"serve --log-level loud":              "--log-level",
		"log export":                          `expected "<dir>"`,
		"log export d --limit=-1":             "--limit -1 is negative; 0 means no limit",
		"log import d --max-line 2000MiB":     "want bytes from 1 to 1073741824",
		"log verify d --limit 0":              "--limit 0 is too low; give at least 1",
		"log backup d":                        `expected "<to>"`,
		"log scavenge d --threshold 2":        "--threshold 2 is not a share above 0 and up to 1",
	} {
		var out, notes bytes.Buffer
		code := cli.Run(t.Context(), strings.Fields(args), strings.NewReader(""), &out, &notes)
		assert.Equal(t, 2, code, args)
		assert.Contains(t, notes.String(), want, args)
		assert.Equal(t, 2, strings.Count(notes.String(), "\n"), notes.String())
		assert.Empty(t, out.String(), args)
	}
}

func TestHelpAndVersion(t *testing.T) {
	t.Parallel()
	for _, command := range []string{"", "serve", "streams", "streams list", "streams read", "streams append", "streams delete", "streams tail",
		"projections", "projections list", "projections show", "projections rebuild", "projections pause", "projections resume", "projections skip",
		"projections rollback", "projections drop-version", "projections parked", "projections parked list", "projections parked show", "projections parked retry", "projections parked drop",
		"log", "log stats", "log verify", "log backup", "log export", "log import", "log scavenge"} {
		var out, notes bytes.Buffer
		assert.Zero(t, cli.Run(t.Context(), append(strings.Fields(command), "--help"), strings.NewReader(""), &out, &notes), command)
		assert.Empty(t, notes.String())
		assert.Contains(t, out.String(), "Usage: foldstream "+command, command)
		if !slices.Contains([]string{"", "streams", "projections", "projections parked", "log"}, command) { // a group has none
			assert.Contains(t, out.String(), "    foldstream "+command, "an example")
		}
	}
	var out bytes.Buffer
	assert.Zero(t, cli.Run(t.Context(), []string{"--version"}, strings.NewReader(""), &out, &out))
	assert.Regexp(t, `^foldstream \S+ go1\.\S+ \S+/\S+\n$`, out.String())
}
