// Package gzip compresses what is stored in Secrets and ConfigMaps, and unpacks it again within a
// limit: whoever may write there decides how much a few bytes unpack to.
package gzip

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
)

// magic is how compressed data begins: two bytes of gzip, and the only method there is.
var magic = []byte{0x1f, 0x8b, 0x08}

// Is reports whether the data is compressed.
func Is(data []byte) bool { return bytes.HasPrefix(data, magic) }

// Pack compresses data. The same data gives the same bytes: no time is written.
func Pack(data []byte) []byte {
	var packed bytes.Buffer
	z, _ := gzip.NewWriterLevel(&packed, gzip.BestCompression) // fails for an unknown level only
	_, _ = z.Write(data)                                       // into memory, which does not fail
	_ = z.Close()
	return packed.Bytes()
}

// Unpack undoes Pack. More than limit bytes are an error. It reads the data twice: counting first
// takes no memory for what is too much, and just enough for the rest.
func Unpack(data []byte, limit int) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	n, err := io.Copy(io.Discard, io.LimitReader(z, int64(limit)+1))
	if err != nil {
		return nil, err
	}
	if n > int64(limit) {
		return nil, fmt.Errorf("unpacked it has more than %s", size(limit))
	}
	if err := z.Reset(bytes.NewReader(data)); err != nil {
		return nil, err
	}
	unpacked := make([]byte, n)
	if _, err := io.ReadFull(z, unpacked); err != nil {
		return nil, err
	}
	return unpacked, nil
}

func size(bytes int) string {
	if bytes > 0 && bytes%(1<<20) == 0 {
		return fmt.Sprintf("%d MiB", bytes>>20)
	}
	return fmt.Sprintf("%d bytes", bytes)
}
