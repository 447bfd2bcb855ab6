package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/internal/redistest"
)

func TestParseArguments(t *testing.T) {
	t.Parallel()
	const listen = "127.0.0.1:8080"
	for _, tt := range []struct {
		line string
		want args
		err  string
	}{
		{"", args{listen: listen}, ""},
		{"-json -data d", args{data: "d", json: true, listen: listen}, ""},
		{"serve -listen :0 -data d", args{name: "serve", data: "d", listen: ":0"}, ""},
		{"-data d serve", args{name: "serve", data: "d", listen: listen}, ""},
		{"import -json f -data d", args{name: "import", file: "f", data: "d", json: true, listen: listen}, ""},
		{"import f -json", args{name: "import", file: "f", json: true, listen: listen}, ""},
		{"import -", args{name: "import", file: "-", listen: listen}, ""},
		{"rebuild", args{name: "rebuild", listen: listen}, ""},
		{"rebuild --data=d order-summary", args{name: "rebuild", view: "order-summary", data: "d", listen: listen}, ""},
		{"status -json", args{name: "status", json: true, listen: listen}, ""},

		{"import", args{}, "import needs a file"},
		{"import a b", args{}, `"b" is one argument too many`},
		{"rebuild a b", args{}, "one argument too many"},
		{"serve x", args{}, "one argument too many"},
		{"status x", args{}, "one argument too many"},
		{"destroy", args{}, `subcommand "destroy" is not known`},
		{"-x", args{}, "-x"},
		{"serve -json", args{}, "does not take -json"},
		{"import f -listen x", args{}, "does not take -listen"},
		{"-data", args{}, "needs an argument"},
		{"-data= status", args{}, "-data is empty"},
	} {
		t.Run(tt.line, func(t *testing.T) {
			t.Parallel()
			got, err := parse(strings.Fields(tt.line))
			if tt.err != "" {
				require.ErrorContains(t, err, tt.err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, tt.want, got)
		})
	}
}

func urlOf(s *redistest.Server) string { return "redis://" + s.Addr() + "/0" }

// runShop runs the program within the test.
func runShop(ctx context.Context, in io.Reader, redisURL string, argv ...string) (code int, out, errs string) {
	var stdout, stderr bytes.Buffer
	code = run(ctx, argv, streams{in: in, out: &stdout, err: &stderr, redisURL: redisURL})
	return code, stdout.String(), stderr.String()
}

func TestExitCodes(t *testing.T) {
	t.Parallel()
	occupied := t.TempDir()
	_ = openApp(t, occupied, "")
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, []byte("x"), 0o600))
	for _, tt := range []struct {
		name, redis, line string
		code              int
		says              string
	}{
		{"Help", "", "-h", 0, "shop serve"},
		{"HelpOfSubcommand", "", "import -help", 0, "shop import"},
		{"UnknownFlag", "", "-verbose", 2, "-verbose"},
		{"UnknownSubcommand", "", "shop", 2, `"shop" is not known`},
		{"NoFile", "", "import", 2, "needs a file"},
		{"MissingFile", "", "import /nonexistent/file", 1, "/nonexistent/file"},
		{"FolderAsFile", "", "import " + occupied, 1, "directory"},
		{"Locked", "", "status -data " + occupied, 1, "open already"},
		{"DataIsFile", "", "status -data " + file, 1, file},
		{"UnknownView", "", "rebuild nothing", 1, viewSummary},
		{"BadRedisURL", "http://x", "status", 1, "REDIS_URL"},
		{"NoRedis", "redis://127.0.0.1:1/0", "status", 1, "127.0.0.1:1"},
		{"BadAddress", "", "serve -listen nowhere", 1, "-listen"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			code, out, errs := runShop(t.Context(), strings.NewReader(""), tt.redis, strings.Fields(tt.line)...)
			require.Equal(t, tt.code, code, errs)
			require.Contains(t, out+errs, tt.says)
			if tt.code != 0 {
				require.Empty(t, out)
			}
		})
	}
}

func TestDemo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var earlier uint64
	for range 2 { // the second goes on from the first
		code, out, errs := runShop(t.Context(), nil, "", "-json", "-data", dir)
		require.Equal(t, 0, code, errs)
		var keys map[string]any
		require.NoError(t, json.Unmarshal([]byte(out), &keys), "stdout is one JSON object: %s", out)
		require.Len(t, keys, 6)
		require.Len(t, keys["rebuild"], 3)
		var r demoReport
		require.NoError(t, json.Unmarshal([]byte(out), &r))
		require.Greater(t, r.Commands, int64(3000))
		require.Positive(t, r.Rejected)
		require.Greater(t, r.Events, earlier+2000)
		require.Equal(t, 3, r.Views)
		require.Equal(t, r.Events, r.Rebuild.Events)
		require.Positive(t, r.Rebuild.Seconds)
		require.True(t, r.Rebuild.Equal)
		require.Zero(t, r.Mismatches)
		earlier = r.Events
	}
}

func TestDemoForPeopleWithARealRedis(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	code, out, errs := runShop(t.Context(), nil, urlOf(server))
	require.Equal(t, 0, code, errs)
	require.Contains(t, out, "0 mismatches")
	require.Contains(t, errs, "rebuild order-summary: 100 %")
	keys, err := server.Client(t).DBSize(t.Context()).Result()
	require.NoError(t, err)
	require.Zero(t, keys, "views of a temporary folder are removed with it")
}

func TestAnInterruptedDemoLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		for ctx.Err() == nil {
			if found, _ := filepath.Glob(filepath.Join(dir, "foldstream-shop-*", "events", "*")); len(found) > 0 {
				cancel()
			}
		}
	}()
	code, out, errs := runShop(ctx, nil, "")
	require.Equal(t, 1, code)
	require.Empty(t, out)
	require.Contains(t, errs, "interrupted")
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestImportThenStatusThenRebuild(t *testing.T) {
	t.Parallel()
	for name, redisURL := range map[string]string{"Miniredis": "", "Redis": urlOf(redistest.Start(t))} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			code, out, errs := runShop(t.Context(), strings.NewReader(goldenFile), redisURL, "import", "-", "-json", "-data", dir)
			require.Equal(t, 0, code, errs)
			var s importSummary
			require.NoError(t, json.Unmarshal([]byte(out), &s), out)
			require.Positive(t, s.Seconds)
			s.Seconds = 0
			require.Equal(t, importSummary{Lines: 18, Accepted: 10, Refused: 6, Malformed: 2}, s)
			require.Contains(t, errs, "line 20: malformed: ")

			code, out, errs = runShop(t.Context(), nil, redisURL, "status", "-data", dir)
			require.Equal(t, 0, code, errs)
			for _, view := range []string{viewSummary, viewCustomers, viewSales} {
				require.Regexp(t, view+` +1 +live +(0|11) +11 +11 +0 `, out)
			}

			code, out, errs = runShop(t.Context(), nil, redisURL, "rebuild", viewSales, "-json", "-data", dir)
			require.Equal(t, 0, code, errs)
			var reports struct{ Views []rebuildReport }
			require.NoError(t, json.Unmarshal([]byte(out), &reports), out)
			require.Len(t, reports.Views, 1)
			require.True(t, reports.Views[0].Equal)
			require.Equal(t, 2, reports.Views[0].NewVersion)

			code, out, errs = runShop(t.Context(), nil, redisURL, "rebuild", "-data", dir)
			require.Equal(t, 0, code, errs)
			require.Equal(t, 3, strings.Count(out, "equal to the live one"), out)
		})
	}
}

func TestTwoFoldersShareARedis(t *testing.T) {
	t.Parallel()
	url := urlOf(redistest.Start(t))
	for range 2 {
		code, out, errs := runShop(t.Context(), strings.NewReader(goldenFile), url, "import", "-", "-data", t.TempDir())
		require.Equal(t, 0, code, errs)
		require.Contains(t, out, "10 accepted")
	}
}
