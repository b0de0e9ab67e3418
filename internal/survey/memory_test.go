package survey

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"runtime"
	"strings"
	"testing"

	"github.com/arc-cleanup/arc-cleanup/internal/github"
	"github.com/arc-cleanup/arc-cleanup/internal/kube/kubetest"
)

// TestMemoryOfAnAccess: a team may write all that a run keeps of its scale sets. 200 of them take less than half of a hook's
// memory.
//
//nolint:paralleltest // it measures the memory of the whole program
func TestMemoryOfAnAccess(t *testing.T) {
	const most = 64 << 20 / 200
	proxy := map[string]any{"url": "http://proxy:3128/", "credentialSecretRef": "proxy"}
	set := githubSpec(map[string]any{
		"githubServerTLS": map[string]any{"certificateFrom": map[string]any{"configMapKeyRef": map[string]any{"name": "ca", "key": "ca.crt"}}},
		"proxy":           map[string]any{"http": proxy, "https": proxy, "noProxy": []any{strings.Repeat("a,", maxSecret/2-50)}},
	})
	_, c := kubetest.New(t, append(kubetest.Whole(kubetest.CRDs()...), kubetest.Stored(
		set, aConfigMap("ca", map[string]any{"ca.crt": manyRoots(t)}),
		aSecret("token", map[string]string{"github_token": strings.Repeat("x", maxSecret)}),
		aSecret("proxy", map[string]string{"username": "x", "password": strings.Repeat("\x00", maxSecret-1)}))...)...)
	access := func() github.Access {
		a, err := GitHubAccess(t.Context(), c, theSet, nil)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	heap := func() uint64 {
		var stats runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&stats)
		return stats.HeapAlloc
	}
	kept := []github.Access{access()} // the first one fills caches
	before := heap()
	for range 20 {
		kept = append(kept, access())
	}
	if each := (heap() - before) / 20; each > most {
		t.Errorf("%d bytes each, want %d at most", each, most)
	}
	runtime.KeepAlive(kept)
}

// manyRoots returns as many certificate authorities as a scale set may have, in PEM.
func manyRoots(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for i := int64(1); ; i++ {
		root := x509.Certificate{SerialNumber: big.NewInt(i)}
		der, err := x509.CreateCertificate(rand.Reader, &root, &root, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
		if out.Len()+len(block) > maxRoots {
			return out.String()
		}
		out.Write(block)
	}
}
