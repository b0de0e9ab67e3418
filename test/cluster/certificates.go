package cluster

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/arc-cleanup/arc-cleanup/test/cluster/containers"
)

// An authority signs every certificate of one cluster, so that nobody mistakes
// another cluster's server, on a port that was free a moment ago, for ours.
type authority struct {
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// keyPair names the files of a certificate and its key.
type keyPair struct{ cert, key string }

const validity = 365 * 24 * time.Hour

func newAuthority(dir string) (*authority, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the folder for certificates: %w", err)
	}
	a := &authority{dir: dir}
	template := template(pkix.Name{CommonName: "arc-cleanup test cluster"})
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making the authority's key: %w", err)
	}
	a.key = key
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("making the authority's certificate: %w", err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		return nil, fmt.Errorf("making the authority's certificate: %w", err)
	}
	_, err = a.write("ca", der, key)
	return a, err
}

// issue makes a certificate for a server on loopback and for a client with
// that name and those groups alike.
func (a *authority) issue(name string, groups ...string) (keyPair, error) {
	template := template(pkix.Name{CommonName: name, Organization: groups})
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	template.DNSNames = []string{
		"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local",
	}
	template.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1), net.IPv4(10, 96, 0, 1), net.ParseIP(containers.NodeAddress)}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return keyPair{}, fmt.Errorf("making the key of %s: %w", name, err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		return keyPair{}, fmt.Errorf("making the certificate of %s: %w", name, err)
	}
	return a.write(name, der, key)
}

// serverTLS serves with a new certificate those who have one of this cluster.
func (a *authority) serverTLS(name string) (*tls.Config, error) {
	pair, err := a.issue(name)
	if err != nil {
		return nil, err
	}
	cert, err := tls.LoadX509KeyPair(pair.cert, pair.key)
	if err != nil {
		return nil, fmt.Errorf("loading the certificate of %s: %w", name, err)
	}
	return &tls.Config{
		Certificates: []tls.Certificate{cert},
		ClientCAs:    a.pool(),
		ClientAuth:   tls.RequireAndVerifyClientCert,
		MinVersion:   tls.VersionTLS12,
	}, nil
}

func (a *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

func (a *authority) file() string { return filepath.Join(a.dir, "ca.crt") }

func (a *authority) write(name string, der []byte, key *ecdsa.PrivateKey) (keyPair, error) {
	pair := keyPair{cert: filepath.Join(a.dir, name+".crt"), key: filepath.Join(a.dir, name+".key")}
	encoded, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return keyPair{}, fmt.Errorf("encoding the key of %s: %w", name, err)
	}
	for path, block := range map[string]*pem.Block{
		pair.cert: {Type: "CERTIFICATE", Bytes: der},
		pair.key:  {Type: "PRIVATE KEY", Bytes: encoded},
	} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			return keyPair{}, fmt.Errorf("writing the certificate of %s: %w", name, err)
		}
	}
	return pair, nil
}

func template(subject pkix.Name) *x509.Certificate {
	serial, _ := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120)) // rand.Reader does not fail
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      subject,
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(validity),
	}
}
