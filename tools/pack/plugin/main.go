// Command plugin packs the folder of a Helm plugin, signs it, and pushes it to a
// registry:
//
//	go -C tools/pack run ./plugin --output ../../dist --version 0.1.0 ../../dist/plugin/arc-postrender
//	go -C tools/pack run ./plugin ... --keyring secring.gpg --key 'Jane Doe' --passphrase-file pass
//	go -C tools/pack run ./plugin ... --push oci://registry.example/helm
//
// What it writes is what `helm plugin package` writes, with Helm's own code for the
// signature, except that the same files give the same bytes: timestamps come from
// SOURCE_DATE_EPOCH, else they are 0, and nobody owns them.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/arc-cleanup/arc-cleanup/tools/pack"
)

// Options is one invocation, parsed.
type Options struct {
	Dir       string
	Output    string
	Version   string
	Platforms []string
	Created   time.Time
	Signer    Signer
	Public    string
	Push      string
	PlainHTTP bool
}

func main() { pack.Main("plugin", parseArgs, run) }

func parseArgs(args []string, sourceDateEpoch string) (Options, error) {
	var (
		opts      Options
		platforms string
	)
	flags := flag.NewFlagSet("plugin", flag.ContinueOnError)
	flags.StringVar(&opts.Output, "output", "", "`folder` to write NAME-VERSION.tgz into")
	flags.StringVar(&opts.Version, "version", "", "version which plugin.yaml has to give")
	flags.StringVar(&platforms, "platforms", "", "`OS/ARCH...` which plugin.yaml has to have a command for")
	flags.StringVar(&opts.Signer.Keyring, "keyring", "", "`file` with a secret key (gpg --export-secret-keys); signs the tarball")
	flags.StringVar(&opts.Signer.Key, "key", "", "`name` of the key in it")
	flags.StringVar(&opts.Signer.PassphraseFile, "passphrase-file", "", "`file` with the key's passphrase, where it has one")
	flags.StringVar(&opts.Public, "public", "", "`file` to write the public key into, which verifies the signature")
	flags.StringVar(&opts.Push, "push", "", "`oci://REGISTRY/FOLDER` to push it into, under its name and tagged with its version")
	flags.BoolVar(&opts.PlainHTTP, "plain-http", false, "talk HTTP to the registry")
	flags.Usage = func() {
		fmt.Fprintln(flags.Output(), `usage: plugin --output FOLDER --version V --platforms "OS/ARCH..." [flags] PLUGIN-FOLDER`)
		flags.PrintDefaults()
	}
	if err := flags.Parse(args); err != nil {
		return Options{}, err
	}
	if opts.Output == "" || opts.Version == "" || platforms == "" || flags.NArg() != 1 {
		return Options{}, errors.New("--output, --version, --platforms and one PLUGIN-FOLDER are needed")
	}
	if (opts.Signer.Keyring == "") != (opts.Signer.Key == "") {
		return Options{}, errors.New("--keyring and --key go together")
	}
	if opts.Public != "" && opts.Signer.Keyring == "" {
		return Options{}, errors.New("--public needs --keyring")
	}
	if opts.Push != "" && !strings.HasPrefix(opts.Push, ociScheme) {
		return Options{}, fmt.Errorf("--push %s: want oci://REGISTRY/FOLDER", opts.Push)
	}
	opts.Dir = flags.Arg(0)
	opts.Platforms = strings.Fields(platforms)

	var err error
	opts.Created, err = pack.Created(sourceDateEpoch)
	return opts, err
}

// run packs and signs before it writes, and writes before it pushes.
func run(out io.Writer, opts Options) error {
	plugin, err := load(opts.Dir)
	if err != nil {
		return err
	}
	if err := plugin.check(opts.Version, opts.Platforms); err != nil {
		return fmt.Errorf("%s: %w", filepath.Join(opts.Dir, manifestName), err)
	}
	var archive bytes.Buffer
	if err := packFolder(&archive, opts.Dir, plugin.Name, opts.Created); err != nil {
		return fmt.Errorf("packing %s: %w", opts.Dir, err)
	}
	file := fmt.Sprintf("%s-%s.tgz", plugin.Name, plugin.Version)
	var signature []byte
	if opts.Signer.Keyring != "" {
		if signature, err = opts.Signer.sign(archive.Bytes(), file, plugin); err != nil {
			return fmt.Errorf("signing %s: %w", file, err)
		}
	}

	path := filepath.Join(opts.Output, file)
	// A signature of an earlier run is not this one's.
	if err := os.Remove(path + provenanceSuffix); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := pack.WriteFile(path, archive.Bytes()); err != nil {
		return err
	}
	signed := "not signed"
	if signature != nil {
		if err := pack.WriteFile(path+provenanceSuffix, signature); err != nil {
			return err
		}
		signed = "signed by " + opts.Signer.Key
	}
	fmt.Fprintf(out, "%s\n  %.1f MB, %s, %s\n", path, float64(archive.Len())/1e6, strings.Join(opts.Platforms, " "), signed)

	if opts.Public != "" {
		public, err := opts.Signer.public()
		if err != nil {
			return fmt.Errorf("writing the public key: %w", err)
		}
		if err := pack.WriteFile(opts.Public, public); err != nil {
			return err
		}
	}
	if opts.Push != "" {
		reference, err := push(opts.Push, opts.PlainHTTP, plugin, file, archive.Bytes(), signature)
		if err != nil {
			return fmt.Errorf("pushing %s: %w", file, err)
		}
		fmt.Fprintf(out, "  pushed to %s\n", reference)
	}
	return nil
}
