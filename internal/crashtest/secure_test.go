package crashtest

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/internal/redistest"
)

// A whole run over TLS as the user that the guide describes.
func TestTheDocumentedRightsAreEnoughOverTLS(t *testing.T) {
	t.Parallel()
	guide, err := os.ReadFile("../../docs/projections.md")
	require.NoError(t, err)
	_, rights, found := strings.Cut(string(guide), "ACL SETUSER foldstream on >secret ")
	require.True(t, found)
	rights, _, _ = strings.Cut(rights, "```")

	const prefix = "shop:"
	server := redistest.StartTLS(t)
	log := newTape("")
	require.NoError(t, log.grow(1000))
	for range 2 {
		run(t, log, server.User(t, "foldstream", "secret", strings.Fields(rights)...), prefix)
	}
	w := watch(t, server.Client(t), prefix, nil)
	w.done(1000)
	stop := log.load(t, 500)
	w.more(200)
	total := stop()
	w.done(total)
	w.end()
	newViews(server.Client(t), prefix).exact(t, log)

	denied, err := server.Client(t).Do(t.Context(), "acl", "log").Slice()
	require.NoError(t, err)
	require.Empty(t, denied, "nothing was asked for that is not allowed")
}
