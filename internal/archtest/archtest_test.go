package archtest

import (
	"io/fs"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var rules = []struct {
	name  string
	check func(*module) []string
}{
	{"Arrows", checkArrows},
	{"ProgramsStayOutside", checkPrograms},
	{"DomainIsPlainGo", checkDomain},
	{"ThirdParties", checkThirdParty},
	{"LeafNamesAreUnique", checkLeafNames},
	{"NoTestingInProduction", checkTesting},
	{"DirectDependencies", checkDirect},
}

// TestTree holds the rules on the module itself.
func TestTree(t *testing.T) {
	m, err := load(os.DirFS("../.."))
	require.NoError(t, err)
	require.Equal(t, "github.com/foldstream/foldstream", m.path)
	require.NotEmpty(t, m.packages)
	for _, rule := range rules {
		t.Run(rule.name, func(t *testing.T) {
			for _, b := range rule.check(m) {
				t.Error(b)
			}
		})
	}
}

// TestDomainPackagesExist keeps the list of domain packages from going stale,
// which would leave them unheld.
func TestDomainPackagesExist(t *testing.T) {
	for _, p := range domain {
		files, err := fs.Glob(os.DirFS("../.."), p+"/*.go")
		require.NoError(t, err)
		if len(files) == 0 {
			t.Errorf("domain package %s has no Go files: correct the list in tables.go", p)
		}
	}
}

const goMod = `module example.com/house // a comment

go 1.26

require github.com/stretchr/testify v1.12.1

require (
	github.com/redis/go-redis/v9 v9.23.0
	github.com/vmihailenco/msgpack/v5 v5.4.1 // indirect
)
`

// TestRulesBite breaks each rule in a module of its own and wants to be told.
func TestRulesBite(t *testing.T) {
	tests := []struct {
		name, file, src string
		check           func(*module) []string
		says            string // empty when nothing is broken
	}{
		{"PortImportsEventstore", "command/a.go", `import "example.com/house/eventstore"`, checkArrows, ""},
		{"PortImportsOtherPort", "command/a.go", `import "example.com/house/aggregate"`, checkArrows, "command/a.go imports aggregate, but command may import only eventstore"},
		{"EventstoreImportsCodec", "eventstore/a.go", `import "example.com/house/eventstore/codec"`, checkArrows, "eventstore may import only nothing"},
		{"PortImportsItsDriver", "projection/a.go", `import "example.com/house/projection/redisview"`, checkArrows, "projection/a.go imports projection/redisview"},
		{"OtherSystemsCountToo", "query/a_windows.go", `import "example.com/house/command"`, checkArrows, "query/a_windows.go imports command"},
		{"TestsMayCrossArrows", "command/a_test.go", `import "example.com/house/aggregate"`, checkArrows, ""},
		{"UnknownPackage", "saga/a.go", ``, checkArrows, "package saga has no row in arrows"},
		{"LibraryImportsExample", "eventstore/a.go", `import "example.com/house/examples/shop/order"`, checkPrograms, "must not know programs"},
		{"LibraryTestImportsCLI", "query/a_test.go", `import "example.com/house/internal/cli"`, checkPrograms, "query/a_test.go imports internal/cli"},
		{"DomainImportsFramework", "examples/shop/cart/a.go", `import "example.com/house/eventstore"`, checkDomain, "a domain package is plain Go"},
		{"DomainsShareTerms", "examples/shop/cart/a.go", `import "example.com/house/examples/shop/terms"`, checkDomain, ""},
		{"DriverUsesItsModule", "projection/redisview/a.go", `import "github.com/redis/go-redis/v9"`, checkThirdParty, ""},
		{"PackageBelowAModule", "eventstore/codec/a.go", `import "github.com/vmihailenco/msgpack/v5/msgpcode"`, checkThirdParty, ""},
		{"PortUsesThirdParty", "projection/a.go", `import "github.com/redis/go-redis/v9"`, checkThirdParty, "projection may use nothing of third parties"},
		{"TestifyInProduction", "aggregate/a.go", `import "github.com/stretchr/testify/require"`, checkThirdParty, "aggregate/a.go imports github.com/stretchr/testify"},
		{"TestifyInTests", "aggregate/a_test.go", `import "github.com/stretchr/testify/require"`, checkThirdParty, ""},
		{"UnknownModuleInTests", "aggregate/a_test.go", `import "github.com/onsi/gomega"`, checkThirdParty, "add it to thirdPartyTests"},
		{"LeafNameTwice", "query/eventstore/a.go", ``, checkLeafNames, "are both called eventstore"},
		{"LeafNameOfDirectory", "query/b/a.go", `package c`, checkLeafNames, "a package has the name of its directory"},
		{"TestingInProduction", "query/a.go", `import "testing/synctest"`, checkTesting, "query/a.go imports testing/synctest"},
		{"TestHelperInProduction", "benchmarks/a.go", `import "example.com/house/internal/redistest"`, checkTesting, "which is for tests"},
		{"TestingInSuite", "eventstore/eventstoretest/a.go", `import "testing"`, checkTesting, ""},
		{"UnusedRow", "eventstore/codec/a.go", ``, checkDirect, "the tables allow github.com/vmihailenco/msgpack/v5"},
		{"UnlistedRequirement", "query/a.go", ``, checkDirect, "go.mod requires github.com/redis/go-redis/v9 directly and no table names it"},
		{"NestedModuleIsNotOurs", "benchmarks/peers/a.go", `import "github.com/modernice/goes"`, checkThirdParty, ""},
		{"TestdataIsNotOurs", "query/testdata/a.go", `import "github.com/modernice/goes"`, checkThirdParty, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m, err := load(tree(tt.file, tt.src))
			require.NoError(t, err)
			broken := strings.Join(tt.check(m), "\n")
			if tt.says == "" {
				assert.Empty(t, broken)
			} else {
				assert.Contains(t, broken, tt.says)
			}
		})
	}
}

// tree is a small module with one file more.
func tree(file, src string) fstest.MapFS {
	fsys := fstest.MapFS{
		"go.mod":                  {Data: []byte(goMod)},
		"benchmarks/peers/go.mod": {Data: []byte("module example.com/peers\n")},
		"eventstore/eventstore.go": {
			Data: []byte("package eventstore\n\nimport \"context\"\n\nvar _ context.Context\n"),
		},
	}
	if !strings.HasPrefix(src, "package ") {
		dir := file[:strings.LastIndex(file, "/")]
		src = "package " + dir[strings.LastIndex(dir, "/")+1:] + "\n\n" + src
	}
	fsys[file] = &fstest.MapFile{Data: []byte(src + "\n")}
	return fsys
}

func TestLoadReportsWhatItCannotRead(t *testing.T) {
	_, err := load(fstest.MapFS{})
	require.ErrorIs(t, err, fs.ErrNotExist)
	_, err = load(tree("query/a.go", "package query\n\nimport nonsense"))
	assert.ErrorContains(t, err, "query/a.go")
}
