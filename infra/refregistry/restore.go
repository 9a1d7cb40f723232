package refregistry

import (
	"context"
	"database/sql"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/lapseguard/lapseguard/infra/adminapi"
	"github.com/lapseguard/lapseguard/shared/registry"
)

func (b backend) Restore(ctx context.Context, key string) (out adminapi.Reply, err error) {
	err = b.tx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		w := work{s: b.Server, tx: tx, now: b.cfg.Now().UTC(), in: registry.Request{Key: key}}
		var err error
		if out, err = w.restore(ctx); err != nil {
			return fmt.Errorf("restore %s: %w", key, err)
		}
		return w.log(ctx, "restore", out)
	})
	return out, err
}

func (w *work) restore(ctx context.Context) (adminapi.Reply, error) {
	j, err := readJournal(ctx, w.tx, w.in.Key)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return adminapi.Problem(http.StatusNotFound, registry.TypeUnknownKey, "unknown key", "nothing was ever done under it"), nil
	case err != nil:
		return adminapi.Reply{}, err
	}
	var request struct{ Domain string }
	var answer adminapi.Answer
	if err := errors.Join(stdjson.Unmarshal([]byte(j.request), &request), stdjson.Unmarshal([]byte(j.answer), &answer)); err != nil {
		return adminapi.Reply{}, fmt.Errorf("read the journal: %w", err)
	}
	w.in.Domain = request.Domain
	switch {
	case j.restored != "":
		w.repeated = true
		return adminapi.OK(stdjson.RawMessage(j.restored)), nil
	case w.now.Before(j.readyAt):
		out := adminapi.Problem(http.StatusConflict, registry.TypeInProgress, "the unverify of this key has not finished", "")
		out.After = j.readyAt.Sub(w.now)
		return out, nil
	}
	return w.takeBack(ctx, answer.Changed)
}

func (w *work) takeBack(ctx context.Context, changed int) (adminapi.Reply, error) {
	if err := touch(ctx, w.tx, w.now, `key = ? AND NOT verified`, w.in.Key); err != nil {
		return adminapi.Reply{}, err
	}
	res, err := w.tx.ExecContext(ctx, `UPDATE addresses SET verified = 1, why = '', key = '' WHERE key = ? AND NOT verified`, w.in.Key)
	if err != nil {
		return adminapi.Reply{}, fmt.Errorf("verify addresses again: %w", err)
	}
	n, err := res.RowsAffected()
	if err != nil {
		return adminapi.Reply{}, fmt.Errorf("count addresses: %w", err)
	}
	w.changed = int(n)
	out := adminapi.Restored{Restored: w.changed, Kept: changed - w.changed}
	body, err := stdjson.Marshal(out)
	if err != nil {
		return adminapi.Reply{}, fmt.Errorf("encode the answer: %w", err)
	}
	if _, err := w.tx.ExecContext(ctx, `UPDATE journal SET restored = ? WHERE key = ?`, string(body), w.in.Key); err != nil {
		return adminapi.Reply{}, fmt.Errorf("write the restore down: %w", err)
	}
	return adminapi.OK(out), nil
}
