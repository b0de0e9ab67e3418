// Package pgp makes keys for signatures of Helm.
package pgp

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ProtonMail/go-crypto/openpgp"
)

// Lock protects a secret ring with a passphrase, as gpg does.
func Lock(t testing.TB, secret, passphrase string) {
	t.Helper()
	content, err := os.ReadFile(secret)
	if err != nil {
		t.Fatal(err)
	}
	entities, err := openpgp.ReadKeyRing(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	var locked bytes.Buffer
	for _, entity := range entities {
		if err := errors.Join(entity.EncryptPrivateKeys([]byte(passphrase), nil), entity.SerializePrivateWithoutSigning(&locked, nil)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(secret, locked.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Keys makes a key pair and writes the secret and the public ring, for `helm package --sign` and `helm verify`.
func Keys(t testing.TB, name string) (secret, public string) {
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
