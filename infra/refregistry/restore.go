package refregistry

import (
	"context"
	"database/sql"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/lapseguard/lapseguard/shared/registry"
)

// restoredBody is the contract's Restored.
type restoredBody struct {
	Restored int `json:"restored"`
	Kept     int `json:"kept"`
}

func (s *Server) restore(ctx context.Context, r *http.Request) (reply, error) {
	key := r.PathValue("key")
	if !registry.ValidKey(key) {
		return malformed("the key does not fit the contract"), nil
	}
	var out reply
	err := s.tx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		w := work{s: s, tx: tx, now: s.cfg.Now().UTC(), in: registry.Request{Key: key}}
		var err error
		if out, err = w.restore(ctx); err != nil {
			return fmt.Errorf("restore %s: %w", key, err)
		}
		return w.log(ctx, "restore", out)
	})
	return out, err
}

func (w *work) restore(ctx context.Context) (reply, error) {
	j, err := readJournal(ctx, w.tx, w.in.Key)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return problem(http.StatusNotFound, registry.TypeUnknownKey, "unknown key", "nothing was ever done under it"), nil
	case err != nil:
		return reply{}, err
	}
	var request struct{ Domain string }
	var answer answerBody
	if err := errors.Join(stdjson.Unmarshal([]byte(j.request), &request), stdjson.Unmarshal([]byte(j.answer), &answer)); err != nil {
		return reply{}, fmt.Errorf("read the journal: %w", err)
	}
	w.in.Domain = request.Domain
	switch {
	case j.restored != "":
		w.repeated = true
		return reply{status: http.StatusOK, body: stdjson.RawMessage(j.restored)}, nil
	case w.now.Before(j.readyAt):
		out := problem(http.StatusConflict, registry.TypeInProgress, "the unverify of this key has not finished", "")
		out.after = j.readyAt.Sub(w.now)
		return out, nil
	}
	return w.takeBack(ctx, answer.Changed)
}

func (w *work) takeBack(ctx context.Context, changed int) (reply, error) {
	if err := touch(ctx, w.tx, w.now, `key = ? AND NOT verified`, w.in.Key); err != nil {
		return reply{}, err
	}
	res, err := w.tx.ExecContext(ctx, `UPDATE addresses SET verified = 1, why = '', key = '' WHERE key = ? AND NOT verified`, w.in.Key)
	if err != nil {
		return reply{}, fmt.Errorf("verify addresses again: %w", err)
	}
	n, err := res.RowsAffected()
	if err != nil {
		return reply{}, fmt.Errorf("count addresses: %w", err)
	}
	w.changed = int(n)
	out := restoredBody{Restored: w.changed, Kept: changed - w.changed}
	body, err := stdjson.Marshal(out)
	if err != nil {
		return reply{}, fmt.Errorf("encode the answer: %w", err)
	}
	if _, err := w.tx.ExecContext(ctx, `UPDATE journal SET restored = ? WHERE key = ?`, string(body), w.in.Key); err != nil {
		return reply{}, fmt.Errorf("write the restore down: %w", err)
	}
	return reply{status: http.StatusOK, body: out}, nil
}
