package redistest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/foldstream/foldstream/internal/redisproc"
)

// StartTLS starts a server that speaks TLS only and wants a certificate of its
// clients, which those of the returned server have. The certificates are made
// for this one.
func StartTLS(tb testing.TB, opts ...Option) *Server {
	tb.Helper()
	files, config := certificates(tb)
	s := Start(tb, append(opts, func(o *redisproc.Options) { o.TLS = files })...)
	s.tls = config
	return s
}

// certificates makes an authority and a certificate that both sides use.
func certificates(tb testing.TB) (*redisproc.TLS, *tls.Config) {
	tb.Helper()
	dir := tb.TempDir()
	files := &redisproc.TLS{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem"), CA: filepath.Join(dir, "ca.pem")}
	caKey, key := newKey(tb), newKey(tb)
	ca := template(1, "authority")
	ca.IsCA, ca.BasicConstraintsValid, ca.KeyUsage = true, true, x509.KeyUsageCertSign
	caDER := sign(tb, ca, ca, caKey, caKey)
	leaf := template(2, "server and clients")
	leaf.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	leaf.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	leafDER := sign(tb, leaf, ca, key, caKey)
	keyDER, err := x509.MarshalECPrivateKey(key)
	noError(tb, err)
	writePEM(tb, files.CA, "CERTIFICATE", caDER)
	writePEM(tb, files.Cert, "CERTIFICATE", leafDER)
	writePEM(tb, files.Key, "EC PRIVATE KEY", keyDER)

	parsed, err := x509.ParseCertificate(caDER)
	noError(tb, err)
	roots := x509.NewCertPool()
	roots.AddCert(parsed)
	return files, &tls.Config{
		MinVersion:   tls.VersionTLS12,
		ServerName:   "127.0.0.1",
		RootCAs:      roots,
		Certificates: []tls.Certificate{{Certificate: [][]byte{leafDER}, PrivateKey: key}},
	}
}

func newKey(tb testing.TB) *ecdsa.PrivateKey {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	noError(tb, err)
	return key
}

func template(serial int64, name string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(serial),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(24 * time.Hour),
	}
}

func sign(tb testing.TB, c, parent *x509.Certificate, key, parentKey *ecdsa.PrivateKey) []byte {
	tb.Helper()
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, parentKey)
	noError(tb, err)
	return der
}

func writePEM(tb testing.TB, path, kind string, der []byte) {
	tb.Helper()
	noError(tb, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
}

func noError(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatalf("redistest: make certificates: %v", err)
	}
}
