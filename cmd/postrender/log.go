package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/pflag"

	"github.com/arc-cleanup/arc-cleanup/internal/cli"
	"github.com/arc-cleanup/arc-cleanup/internal/version"
)

// logFile is the name of the flag, and logFileVariable that of the environment variable for it.
const (
	logFile         = "log-file"
	logFileVariable = "ARC_CLEANUP_LOG_FILE"
)

// openLog opens the log that the command line or else the environment names. It runs before the command
// line is checked, so that the log has the error if the rest of the command line is wrong.
func openLog(args []string) (io.WriteCloser, error) {
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	flags.ParseErrorsAllowlist.UnknownFlags = true
	flags.Usage = func() {}
	path := flags.String(logFile, os.Getenv(logFileVariable), "")
	_ = flags.Parse(args) // the command itself reports what is wrong with them
	// The parser's message may quote a manifest, which may have secrets.
	log, err := os.OpenFile(cmp.Or(*path, os.DevNull), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, cli.Wrong(fmt.Errorf("--%s (or %s): %w", logFile, logFileVariable, err))
	}
	return log, nil
}

// writeLog adds one run to the log, in a single write: several Helms may share the log.
func writeLog(log io.Writer, code int, text string) {
	fmt.Fprintf(log, "%s arc-postrender %s: exit code %d\n%s", time.Now().UTC().Format(time.RFC3339), version.String(), code, text)
}
