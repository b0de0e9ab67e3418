package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"helm.sh/helm/v4/pkg/provenance"
	"sigs.k8s.io/yaml"

	"github.com/arc-cleanup/arc-cleanup/tools/pack"
)

const provenanceSuffix = ".prov"

// packFolder writes the folder as a compressed tar, below the plugin's name, which is
// where Helm looks for it. What lies in a folder bin can be executed.
func packFolder(w io.Writer, dir, name string, created time.Time) error {
	zw, err := gzip.NewWriterLevel(w, gzip.BestCompression)
	if err != nil {
		return err
	}
	tw := tar.NewWriter(zw)
	// WalkDir goes by name, so the order is fixed.
	err = filepath.WalkDir(dir, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(dir, file)
		if err != nil {
			return err
		}
		header := &tar.Header{
			Typeflag: tar.TypeDir, Name: path.Join(name, filepath.ToSlash(relative)) + "/", Mode: 0o755, ModTime: created,
		}
		if entry.IsDir() {
			return tw.WriteHeader(header)
		}
		content, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		header.Typeflag, header.Name = tar.TypeReg, strings.TrimSuffix(header.Name, "/")
		if path.Base(path.Dir(header.Name)) != "bin" {
			header.Mode = 0o644
		}
		return pack.AddFile(tw, header, content)
	})
	return errors.Join(err, tw.Close(), zw.Close())
}

// Signer is a secret key in a keyring.
type Signer struct{ Keyring, Key, PassphraseFile string }

// sign returns the provenance file that Helm looks for beside the archive.
func (s Signer) sign(archive []byte, file string, plugin *Plugin) ([]byte, error) {
	signatory, err := provenance.NewFromKeyring(s.Keyring, s.Key)
	if err != nil {
		return nil, err
	}
	err = signatory.DecryptKey(func(string) ([]byte, error) {
		if s.PassphraseFile == "" {
			return nil, errors.New("the key has a passphrase, and --passphrase-file is not given")
		}
		passphrase, err := os.ReadFile(s.PassphraseFile)
		return []byte(strings.TrimRight(string(passphrase), "\r\n")), err
	})
	if err != nil {
		return nil, err
	}
	var metadata any
	if err := yaml.Unmarshal(plugin.text, &metadata); err != nil {
		return nil, err
	}
	// Without comments: the block is a part of a stream of documents.
	block, err := yaml.Marshal(metadata)
	if err != nil {
		return nil, err
	}
	text, err := signatory.ClearSign(archive, file, block)
	if err != nil {
		return nil, fmt.Errorf("with the key %q: %w", s.Key, err)
	}
	return []byte(text), nil
}

// public returns the public half of the keyring, for whoever verifies.
func (s Signer) public() ([]byte, error) {
	keyring, err := os.Open(s.Keyring)
	if err != nil {
		return nil, err
	}
	defer keyring.Close() //nolint:errcheck // Only read.
	entities, err := openpgp.ReadKeyRing(keyring)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.Keyring, err)
	}
	var b bytes.Buffer
	for _, entity := range entities {
		if err := entity.Serialize(&b); err != nil {
			return nil, fmt.Errorf("%s: %w", s.Keyring, err)
		}
	}
	return b.Bytes(), nil
}
