"""TabM (Gorishniy et al., ICLR 2025) as a classifier with `fit`, `predict` and `predict_proba`, sized for one CPU core.

Numbers are spread to a normal distribution as in the paper, or get its piecewise-linear embeddings; an eighth of the rows
decides when training ends. Members (16), width (64 or 128) and steps (600, or 10 epochs of many rows) are fewer than the
paper's.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.impute import SimpleImputer
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import QuantileTransformer
from torch.nn import functional as F

STEPS = 600
"""Steps at most, but 10 epochs at least."""


class TabMClassifier:
    """TabM for two classes.

    Args:
        seed: of initial weights, batches and held-out rows.
        k: members.
        d_block: width.
        n_blocks: hidden layers.
        dropout: share of units.
        lr: learning rate of AdamW.
        embed: piecewise-linear embeddings of numbers, 16 bins to 8 dimensions each.
    """

    def __init__(
        self,
        seed: int = 0,
        k: int = 16,
        d_block: int = 64,
        n_blocks: int = 2,
        dropout: float = 0.1,
        lr: float = 2e-3,
        embed: bool = False,
    ) -> None:
        self.seed, self.k, self.d_block, self.n_blocks = seed, k, d_block, n_blocks
        self.dropout, self.lr, self.embed = dropout, lr, embed
        self.epochs, self.patience = 60, 8
        self.classes_ = np.array([0, 1])

    def fit(self, features: pd.DataFrame, target: np.ndarray) -> TabMClassifier:
        """Learn from rows; the best epoch on the held-out ones is kept."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            inputs = self._learn_inputs(features)
            labels = torch.from_numpy(np.asarray(target))
            rows = np.arange(len(target))
            learn, judge = train_test_split(rows, test_size=1 / 8, stratify=target, random_state=self.seed)
            self.model = self._network(inputs[0][torch.from_numpy(learn)])
            self._train(inputs, labels, torch.from_numpy(learn), torch.from_numpy(judge))
        return self

    def predict_proba(self, features: pd.DataFrame) -> np.ndarray:
        """The mean of the members' probabilities `[N, 2]`."""
        return self._proba(self._inputs(features))

    def predict(self, features: pd.DataFrame) -> np.ndarray:
        """The likelier class `[N]`."""
        return self.predict_proba(features).argmax(1)

    def _learn_inputs(self, features: pd.DataFrame) -> tuple[torch.Tensor, torch.Tensor]:
        self.categories = [name for name, dtype in features.dtypes.items() if dtype == "category"]
        self.numbers = [name for name in features.columns if name not in self.categories and features[name].nunique() > 1]
        if self.numbers:
            quantiles = max(min(len(features) // 30, 1000), 10)
            spread = QuantileTransformer(
                n_quantiles=min(quantiles, len(features)), output_distribution="normal", random_state=0
            )
            self.prepare = make_pipeline(SimpleImputer(strategy="median"), spread).fit(features[self.numbers])
        self.cardinalities = [len(features[name].cat.categories) for name in self.categories]
        return self._inputs(features)

    def _inputs(self, features: pd.DataFrame) -> tuple[torch.Tensor, torch.Tensor]:
        rows = len(features)
        numbers = self.prepare.transform(features[self.numbers]) if self.numbers else np.empty((rows, 0))
        codes = [features[name].cat.codes.to_numpy() for name in self.categories]
        stacked = np.stack(codes, 1) if codes else np.empty((rows, 0))
        return torch.from_numpy(numbers).float(), torch.from_numpy(stacked.astype(np.int64))

    def _network(self, numbers: torch.Tensor) -> Any:
        from rtdl_num_embeddings import PiecewiseLinearEmbeddings, compute_bins
        from tabm import TabM

        embeddings = None
        if self.embed and self.numbers and bool((numbers.amax(0) > numbers.amin(0)).all()):
            bins = compute_bins(numbers, n_bins=min(16, len(numbers) - 2))
            embeddings = PiecewiseLinearEmbeddings(bins, d_embedding=8, activation=False, version="B")
        return TabM.make(
            n_num_features=len(self.numbers),
            cat_cardinalities=self.cardinalities,
            d_out=2,
            num_embeddings=embeddings,
            k=self.k,
            d_block=self.d_block,
            n_blocks=self.n_blocks,
            dropout=self.dropout,
        )

    def _train(
        self, inputs: tuple[torch.Tensor, torch.Tensor], labels: torch.Tensor, learn: torch.Tensor, judge: torch.Tensor
    ) -> None:
        optimizer = torch.optim.AdamW(self.model.parameters(), lr=self.lr, weight_decay=3e-4, fused=True)
        size = 256 if len(learn) > 2000 else 128
        held_out = (inputs[0][judge], inputs[1][judge])
        best, kept, since = float("inf"), copy.deepcopy(self.model.state_dict()), 0
        for _ in range(min(self.epochs, max(STEPS * size // len(learn), 10))):
            self.model.train()
            for batch in learn[torch.randperm(len(learn))].split(size):
                logits = self._logits((inputs[0][batch], inputs[1][batch]))
                loss = F.cross_entropy(logits.flatten(0, 1), labels[batch].repeat_interleave(self.k))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            now = log_loss(labels[judge].numpy(), self._proba(held_out), labels=[0, 1])
            since += 1
            if now < best:
                best, kept, since = now, copy.deepcopy(self.model.state_dict()), 0
            if since >= self.patience:
                break
        self.model.load_state_dict(kept)

    def _logits(self, inputs: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        numbers, codes = inputs
        logits: torch.Tensor = self.model(numbers if self.numbers else None, codes if self.categories else None)
        return logits

    @torch.no_grad()
    def _proba(self, inputs: tuple[torch.Tensor, torch.Tensor]) -> np.ndarray:
        self.model.eval()
        parts = zip(inputs[0].split(4096), inputs[1].split(4096), strict=True)
        proba = torch.cat([self._logits(part).double().softmax(-1).mean(1) for part in parts])
        found: np.ndarray = proba.numpy()
        return found
