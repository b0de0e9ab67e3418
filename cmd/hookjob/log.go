package main

import (
	"io"
	"os"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/pflag"

	"github.com/arc-cleanup/arc-cleanup/internal/cli"
)

// logFlags say what a log has, and in which form.
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

// people is a log that Helm prints, all of it in one line in the case of Helm 4: but for
// debugging it has no times, and names a level only where something is wrong.
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
