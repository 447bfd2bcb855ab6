package archtest

// A pattern is a package path relative to the module, "x/..." for x and all
// below it, or "..." for all.

// arrow says which packages of this module a package may import in files that
// are not tests. The first row that matches a package counts.
type arrow struct {
	from string
	to   []string
}

var arrows = []arrow{
	// Ports. They know nothing of each other but eventstore.
	{"eventstore", nil},
	{"aggregate", []string{"eventstore", "aggregate/internal/..."}},
	{"command", []string{"eventstore"}},
	{"process", []string{"eventstore"}},
	{"projection", []string{"eventstore"}},
	{"query", []string{"eventstore"}},

	// Drivers, adapters and suites know their port. redisview takes codec's
	// MessagePack too, rather than pool encoders a second time.
	{"eventstore/codec/...", []string{"eventstore", "eventstore/codec/..."}},
	{"eventstore/eventstoretest/...", []string{"eventstore", "eventstore/eventstoretest/..."}},
	{"eventstore/internal/...", []string{"eventstore", "eventstore/internal/..."}},
	{"eventstore/memstore/...", []string{"eventstore", "eventstore/internal/...", "eventstore/memstore/..."}},
	{"eventstore/logstore/...", []string{"eventstore", "eventstore/internal/...", "eventstore/logstore/..."}},
	{"eventstore/esdbstore/...", []string{"eventstore", "eventstore/internal/...", "eventstore/esdbstore/..."}},
	{"eventstore/esdbserver/...", []string{"eventstore", "eventstore/internal/...", "eventstore/esdbserver/..."}},
	{"aggregate/internal/...", []string{"aggregate/internal/..."}},
	{"aggregate/boundary", []string{"eventstore", "aggregate", "aggregate/internal/..."}},
	{"aggregate/redissnapshot/...", []string{"eventstore", "aggregate"}},
	{"aggregate/snapshottest/...", []string{"eventstore", "aggregate"}},
	{"aggregate/aggregatetest/...", []string{"eventstore", "aggregate", "internal/narrate"}},
	{"command/commandtest/...", []string{"eventstore", "eventstore/memstore", "command", "projection", "projection/memview", "query", "internal/narrate"}},
	{"command/...", []string{"eventstore", "command/..."}},
	{"query/...", []string{"eventstore", "query/..."}},
	{"process/...", []string{"eventstore", "process/..."}},
	{"projection/internal/...", []string{"eventstore", "projection", "projection/internal/..."}},
	{"projection/memview/...", []string{"eventstore", "projection", "projection/internal/...", "projection/memview/..."}},
	{"projection/projectiontest/...", []string{"eventstore", "eventstore/memstore", "projection", "projection/memview", "projection/projectiontest/..."}},
	{"projection/redisview/...", []string{"eventstore", "eventstore/codec", "projection", "projection/internal/...", "projection/redisview/..."}},

	// Programs may use everything that is not a program. The domain packages of
	// the example are held further by domain below.
	{"examples/shop/cart", domain},
	{"examples/shop/order", domain},
	{"examples/shop/terms", domain},
	{"examples/...", append([]string{"examples/..."}, library...)},
	{"benchmarks/...", append([]string{"benchmarks/..."}, library...)},
	{"cmd/...", append([]string{"internal/cli/...", "internal/console/..."}, library...)},
	{"internal/cli/...", append([]string{"internal/cli/...", "internal/console/..."}, library...)},
	{"internal/console/...", append([]string{"internal/console/..."}, library...)},

	// Helpers of tests and programs.
	{"internal/archtest", nil},
	{"internal/certtest", nil},
	{"internal/crashtest", nil},
	{"internal/narrate", []string{"aggregate"}},
	{"internal/proxytest", nil},
	{"internal/redisproc", nil},
	{"internal/redistest", []string{"internal/certtest", "internal/redisproc"}},
	{"internal/tbtest", nil},
}

// library is what programs may use.
var library = []string{
	"aggregate/...", "command/...", "eventstore/...", "process/...", "projection/...", "query/...",
	"internal/redisproc", "internal/redistest",
}

// programs may not be imported by library packages, their tests included.
var programs = []string{"benchmarks/...", "cmd/...", "examples/...", "internal/cli/...", "internal/console/..."}

// domain lists the packages that show that a domain needs no framework: they
// import each other and the standard library only.
var domain = []string{"examples/shop/cart", "examples/shop/order", "examples/shop/terms"}

// stdlibOnly lists the packages that must not use third parties, whatever
// thirdParty says: the ports, and the doubles that users' tests link.
var stdlibOnly = append([]string{
	"aggregate", "command", "eventstore", "process", "projection", "query",
	"aggregate/internal/...", "eventstore/internal/...", "eventstore/memstore/...", "projection/memview/...",
	"aggregate/aggregatetest", "aggregate/boundary", "command/commandtest",
}, domain...)

// use says which third-party modules the packages that match from may import.
// The rows that match a package add up.
type use struct {
	from    string
	modules []string
}

const (
	esdb        = "github.com/EventStore/EventStore-Client-Go/v4"
	genproto    = "google.golang.org/genproto/googleapis/rpc"
	goRedis     = "github.com/redis/go-redis/v9"
	goleak      = "go.uber.org/goleak"
	grpc        = "google.golang.org/grpc"
	kong        = "github.com/alecthomas/kong"
	miniredis   = "github.com/alicebob/miniredis/v2"
	lru         = "github.com/hashicorp/golang-lru/v2"
	msgp        = "github.com/tinylib/msgp"
	msgpack     = "github.com/vmihailenco/msgpack/v5"
	otel        = "go.opentelemetry.io/otel"
	otelMetric  = "go.opentelemetry.io/otel/metric"
	otelSDK     = "go.opentelemetry.io/otel/sdk"
	otelSDKm    = "go.opentelemetry.io/otel/sdk/metric"
	otelTrace   = "go.opentelemetry.io/otel/trace"
	porcupine   = "github.com/anishathalye/porcupine"
	progressbar = "github.com/schollz/progressbar/v3"
	protobuf    = "google.golang.org/protobuf"
	testify     = "github.com/stretchr/testify"
	rapid       = "pgregory.net/rapid"
	validator   = "github.com/go-playground/validator/v10"
	xsys        = "golang.org/x/sys"
	xtime       = "golang.org/x/time"
	xxhash      = "github.com/cespare/xxhash/v2"
)

// thirdParty is for files that are not tests.
var thirdParty = []use{
	{"eventstore/codec", []string{msgpack}},
	{"eventstore/codec/protocodec", []string{protobuf}},
	{"eventstore/codec/shred/shredtest", []string{testify}},
	{"eventstore/esdbserver/...", []string{esdb, genproto, grpc, protobuf}}, // the client's module has the generated code of the protocol
	{"eventstore/esdbstore", []string{esdb, grpc}},
	{"eventstore/eventstoretest", []string{testify}},
	{"eventstore/logstore", []string{xxhash}},
	{"eventstore/logstore/internal/disk", []string{xsys}},
	{"aggregate/redissnapshot", []string{goRedis}},
	{"aggregate/snapshottest", []string{testify}},
	{"command/commandlimit", []string{lru, xtime}},
	{"command/commandotel", []string{otel, otelMetric, otelTrace}},
	{"command/commandvalidator", []string{validator}},
	{"projection/projectiontest", []string{testify}},
	{"projection/redisview", []string{goRedis}},
	{"examples/shop", []string{goRedis, miniredis, progressbar}},
	{"benchmarks", []string{esdb, goRedis, grpc, msgp, protobuf, xsys}}, // its own servers of the protocol, and maps of memory, to compare with
	{"benchmarks/race", []string{msgp}},
	{"internal/cli", []string{goRedis, kong, progressbar}},
	{"internal/redistest", []string{goRedis}},
}

// thirdPartyTests is for test files, besides what thirdParty gives the package.
var thirdPartyTests = []use{
	{"...", []string{testify}},
	{"eventstore/codec", []string{msgp, rapid}},            // what msgp generates leans on; random chains of upcasts
	{"eventstore/esdbstore", []string{goleak}},             // the official client leaks what it is not kept from leaking
	{"eventstore/logstore", []string{porcupine, rapid}},    // linearizability; random operations against memstore as the model
	{"projection/redisview", []string{goRedis, miniredis}}, // miniredis: what the example embeds must do
	{"command/commandotel", []string{otelSDK, otelSDKm}},
	{"examples/shop/...", []string{goRedis}},
	{"internal/cli", []string{esdb, grpc}}, // a call that is held half way, which no client does
	{"internal/crashtest", []string{goRedis}},
	{"internal/redistest", []string{goRedis}},
}
