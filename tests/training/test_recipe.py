"""The demo model's recipe: its batched forward equals the transformer's own."""

from __future__ import annotations

import pytest
import torch

from training.flow import TextToLatents
from training.latents import TrainingBatches, offered
from training.tokenizer import build_tokenizer
from training.training import learning_rate


@pytest.fixture(scope="module")
def batches() -> TrainingBatches:
    return TrainingBatches({size: [0, 5, 9, 100] for size in offered()}, build_tokenizer(), tokens=64 * 3)


def test_a_batch_equals_the_transformer_one_sample_at_a_time(batches: TrainingBatches) -> None:
    torch.manual_seed(0)
    model = TextToLatents(1024).eval()
    seen: set[tuple[object, int]] = set()
    for step in range(40):
        batch = batches[step]
        kind = (batch.size, batch.ids.shape[1])
        if kind in seen or batch.size[0] * batch.size[1] > 256 * 256:
            continue
        seen.add(kind)
        count, (width, height) = len(batch.ids), batch.size
        noisy, sigma = torch.randn(count, 16, height // 16, width // 16), torch.rand(count)
        with torch.no_grad():
            captions = model.embed(batch.ids)
            ours = model(noisy, sigma, captions, batch.lengths)
            unpadded = [states[:length] for states, length in zip(captions, batch.lengths.tolist(), strict=True)]
            theirs = model.transformer(list(noisy.unsqueeze(2)), 1 - sigma, unpadded, return_dict=False)[0]
        assert torch.equal(ours, torch.stack([answer.squeeze(1) for answer in theirs]))
    assert len(seen) > 3


def test_a_batch_is_the_same_in_every_process(batches: TrainingBatches) -> None:
    for batch, again in zip(batches.upcoming(9, 11, workers=0), batches.upcoming(9, 11, workers=1), strict=True):
        assert torch.equal(batch.ids, again.ids)
        assert torch.equal(batch.places, again.places)
        assert (batch.redrawn is None) == (again.redrawn is None)


def test_the_learning_rate_warms_up_stays_and_falls() -> None:
    rates = [learning_rate(i, i / 100, peak=1.0, warm_up=10, decay_from=0.6) for i in range(101)]
    assert rates[:10] == sorted(rates[:10])
    assert rates[10:60] == [1.0] * 50
    assert rates[60:] == sorted(rates[60:], reverse=True)
    assert rates[100] == 0.02
