package main

import (
	"io"
	"os"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/pflag"

	"github.com/arc-cleanup/arc-cleanup/internal/cli"
)

// logFlags say how detailed the log is, and in which format.
type logFlags struct{ format, level string }

func (f *logFlags) register(fs *pflag.FlagSet) {
	cli.OneOf(fs, &f.format, "log-format", "", "auto", "form of the log; auto is console on a terminal and json elsewhere", "auto", "console", "json")
	cli.OneOf(fs, &f.level, "log-level", "", "info", "debug has a line for each phase and each wait, with the time", "info", "debug")
}

// console reports whether the log is for people.
func (f *logFlags) console(w io.Writer) bool {
	return f.format == "console" || f.format == "auto" && isTerminal(w)
}

// logger writes to w, for people or for machines.
func (f *logFlags) logger(w io.Writer, console, colors bool) zerolog.Logger {
	level := zerolog.InfoLevel
	if f.level == "debug" {
		level = zerolog.DebugLevel
	}
	if console {
		w = people(w, colors, level)
	}
	return zerolog.New(w).Level(level).With().Timestamp().Logger()
}

// people returns a writer for a log that Helm prints; Helm 4 prints all of it as one line. Without debugging it
// has no times, and it names only the levels of warnings and errors.
func people(w io.Writer, colors bool, level zerolog.Level) io.Writer {
	c := zerolog.ConsoleWriter{Out: w, NoColor: !colors || os.Getenv("NO_COLOR") != "", TimeFormat: time.TimeOnly, FormatPrepare: sentence}
	if level > zerolog.DebugLevel {
		c.PartsExclude = []string{zerolog.TimestampFieldName}
		c.FormatLevel = func(level any) string {
			switch level {
			case zerolog.LevelWarnValue:
				return "warning:"
			case zerolog.LevelErrorValue:
				return "error:"
			}
			return ""
		}
	}
	return c
}
