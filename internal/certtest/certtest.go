// Package certtest makes certificates for tests of what speaks TLS.
package certtest

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
)

// A Certificate is its own authority, and good for servers and clients on
// loopback for an hour. It is in memory and in files, which go with the test.
type Certificate struct {
	TLS  tls.Certificate
	Pool *x509.CertPool // trusts it, and nothing else

	CertFile, KeyFile string // PEM
}

// New makes a certificate that no other test has.
func New(tb testing.TB) *Certificate {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	noError(tb, err)
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	noError(tb, err)
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "foldstream test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"},
		IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	noError(tb, err)
	leaf, err := x509.ParseCertificate(der)
	noError(tb, err)
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	noError(tb, err)
	dir := tb.TempDir()
	c := &Certificate{
		TLS:      tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf},
		Pool:     x509.NewCertPool(),
		CertFile: filepath.Join(dir, "cert.pem"), KeyFile: filepath.Join(dir, "key.pem"),
	}
	c.Pool.AddCert(leaf)
	for file, block := range map[string]*pem.Block{
		c.CertFile: {Type: "CERTIFICATE", Bytes: der},
		c.KeyFile:  {Type: "PRIVATE KEY", Bytes: secret},
	} {
		noError(tb, os.WriteFile(file, pem.EncodeToMemory(block), 0o600))
	}
	return c
}

func noError(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatalf("certtest: make a certificate: %v", err)
	}
}
