// Package pack is what the commands image and plugin share: the same files give the same bytes.
package pack

import (
	"archive/tar"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Main parses the arguments and SOURCE_DATE_EPOCH, runs the command, and exits with 1 if it fails.
func Main[Options any](command string, parse func(args []string, sourceDateEpoch string) (Options, error), run func(io.Writer, Options) error) {
	opts, err := parse(os.Args[1:], os.Getenv("SOURCE_DATE_EPOCH"))
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err == nil {
		err = run(os.Stdout, opts)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, command+":", err)
		os.Exit(1)
	}
}

// Created is the time of SOURCE_DATE_EPOCH, which every timestamp gets; without it, 0.
func Created(sourceDateEpoch string) (time.Time, error) {
	seconds := int64(0)
	if sourceDateEpoch != "" {
		var err error
		if seconds, err = strconv.ParseInt(sourceDateEpoch, 10, 64); err != nil {
			return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH: %w", err)
		}
	}
	return time.Unix(seconds, 0).UTC(), nil
}

// Tag is the tag of a version: a tag cannot hold the + of a semantic version, and Helm writes _ too.
func Tag(version string) string { return strings.ReplaceAll(version, "+", "_") }

// AddFile adds a file to an archive.
func AddFile(w *tar.Writer, header *tar.Header, content []byte) error {
	header.Size = int64(len(content))
	if err := w.WriteHeader(header); err != nil {
		return err
	}
	_, err := w.Write(content)
	return err
}

// WriteFile never leaves half a file behind under the final name.
func WriteFile(path string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) //nolint:errcheck // After the rename there is nothing to remove.
	_, err = f.Write(content)
	// CreateTemp makes files only their owner can read.
	if err := errors.Join(err, f.Chmod(0o644), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
