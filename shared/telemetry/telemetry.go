// Package telemetry writes the guard's two outputs: JSON log events, and metrics in CloudWatch's embedded
// metric format, which need no agent: CloudWatch reads them out of the log
// (https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html).
package telemetry

import (
	"io"
	"log/slog"
)

// NewLogger writes JSON events, one a line, to w; in Lambda w is standard output.
func NewLogger(w io.Writer, level slog.Level) *slog.Logger {
	return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level}))
}

// UserAgent names the product and whom to write to about it, as polite clients do.
func UserAgent(contact string) string {
	if contact == "" {
		return "lapseguard"
	}
	return "lapseguard (+" + contact + ")"
}
