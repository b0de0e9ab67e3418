package harness

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ProtonMail/go-crypto/openpgp"
)

// PGPKeys makes a key pair and writes the secret and the public ring, for `helm package --sign` and `helm verify`.
func PGPKeys(t testing.TB, name string) (secret, public string) {
	t.Helper()
	entity, err := openpgp.NewEntity(name, "", strings.ToLower(name)+"@example.com", nil)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	secret, public = filepath.Join(dir, "secret.gpg"), filepath.Join(dir, "public.gpg")
	s, err := os.Create(secret)
	if err != nil {
		t.Fatal(err)
	}
	p, err := os.Create(public)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(entity.SerializePrivate(s, nil), entity.Serialize(p), s.Close(), p.Close()); err != nil {
		t.Fatal(err)
	}
	return secret, public
}
