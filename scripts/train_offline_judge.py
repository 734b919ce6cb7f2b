"""Train the offline judge, print its figures on benchmarks it has not seen, write its weights.

python scripts/train_offline_judge.py --data ../shared/data

Training: rephrased GSM8K questions; negatives are the nearest other GSM8K questions, other rephrases, and the same text
with other numbers. MMLU and HumanEval are only scored (F1, bootstrap interval, seeded negatives, empties dropped).
"""

import argparse
import hashlib
import json
import re
import sys
import sysconfig
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.optimize import minimize
from sklearn.feature_extraction.text import TfidfVectorizer

from antivenom.randomness import generator
from antivenom.screen import pair_features as pf
from antivenom.screen.offline_judge import KIND_MODELS, judge_features, probability
from antivenom.screen.pair_features import FEATURES, Idf, pair_features

WEIGHTS = Path(__file__).parents[1] / "src" / "antivenom" / "screen" / "weights"
SEED = 0
MODELS = {
    "text": ("item_in_row", "char_cosine", "bigrams_in_row", "rare_in_row"),
    "numbers": ("numbers_in_row", "numbers_in_item", "numbers_equal"),
}
SORTS = {"text": ("same", "different"), "numbers": ("same", "numbers")}
NAMES = ["Ava", "Noah", "Mia", "Omar", "Lena", "Paul", "Ruth", "Igor", "Tara", "Hugo", "Nina", "Carl", "Vera", "Ivan"]


# the table of document frequencies


def document_frequencies(data: Path) -> tuple[Idf, int]:
    """IDF over GSM8K train, WikiText-2, AG News test (shared data) and the Python standard library's sources."""
    import gzip

    texts = pq.read_table(data / "bench_gsm8k" / "train.parquet").column("question").to_pylist()
    for name in ("wiki.valid.txt.gz", "wiki.test.txt.gz"):
        with gzip.open(data / "text_wikitext2" / name, "rt", encoding="utf-8") as source:
            texts += [line for line in source if len(line) > 80]
    news = pq.read_table(data / "text_agnews" / "agnews_test.parquet")
    texts += next(c for c in news.columns if pa.types.is_string(c.type) or pa.types.is_large_string(c.type)).to_pylist()
    for path in sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py")):
        source = path.read_text("utf-8", errors="replace")
        texts += [part for part in re.split(r"\n(?=def |class |    def )", source) if len(part) > 80]
    words = np.zeros(pf.WORD_BUCKETS, np.int64)
    chars = np.zeros(pf.CHAR_BUCKETS, np.int64)
    for text in texts:
        words[pf.token_buckets(text)] += 1
        counts = np.zeros(pf.CHAR_BUCKETS, np.int32)
        pf._char_counts(np.frombuffer(text.encode(), np.uint8), counts)
        chars += counts > 0
    idf = [np.log((1 + len(texts)) / (1 + df)) + 1 for df in (words, chars)]
    rounded = [np.minimum(np.round(values * 16), 255).astype(np.uint8) for values in idf]
    np.savez_compressed(WEIGHTS / "idf.npz", words=rounded[0], chars=rounded[1])
    return Idf(*(values.astype(np.float32) / 16 for values in rounded)), len(texts)


# pairs


def question_of(text: str) -> str:
    """The question alone of a `Question: ... Answer: ...` text."""
    return re.sub(r"^Question:\s*", "", text.split("\nAnswer:")[0]).strip()


def other_numbers(text: str, rng: np.random.Generator) -> str:
    """The same text with every number changed."""

    def change(match: re.Match[str]) -> str:
        value = match.group()
        while True:
            new = str(
                max(1, round(float(value) * float(rng.choice([0.5, 0.7, 1.3, 1.5, 2, 3])) + int(rng.integers(1, 6))))
            )
            if new != value:
                return new

    return re.sub(r"\d+(?:\.\d+)?", change, text)


def some_number(text: str, rng: np.random.Generator) -> str:
    """The same text with one number changed."""
    found = list(re.finditer(r"\d+(?:\.\d+)?", text))
    if not found:
        return text
    match = found[int(rng.integers(len(found)))]
    return text[: match.start()] + other_numbers(match.group(), rng) + text[match.end() :]


def other_names(text: str, rng: np.random.Generator) -> str:
    """Capitalised words that occur twice or more, renamed."""
    counts: dict[str, int] = {}
    for name in re.findall(r"\b[A-Z][a-z]{2,}\b", text):
        counts[name] = counts.get(name, 0) + 1
    for name, count in counts.items():
        if count > 1 and name not in ("The", "How", "She", "They", "His", "Her", "What", "Each", "Every", "There"):
            text = re.sub(rf"\b{name}\b", str(rng.choice(NAMES)), text)
    return text


def nearest(queries: list[str], pool: list[str], k: int) -> np.ndarray:
    """Indices (n, k) of the nearest texts of a pool by character TF-IDF."""
    vectoriser = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True)
    matrix = vectoriser.fit_transform(pool)
    wanted = vectoriser.transform(queries)
    out = []
    for at in range(0, len(queries), 200):
        scores = (wanted[at : at + 200] @ matrix.T).toarray()
        out.append(np.argsort(-scores, axis=1, kind="stable")[:, :k])
    return np.vstack(out)


def training_pairs(data: Path) -> tuple[list[tuple[int, str, str, str]], str]:
    """(item number, item, row, sort of pair), and the hash of what they are made of."""
    path = data / "rephrased_pairs" / "rephrased_pairs.parquet"
    rows = [r for r in pq.read_table(path).to_pylist() if r["benchmark"] == "gsm8k"]
    rows = [(question_of(r["original"]), r["rephrased"].strip()) for r in rows]
    rows = [(item, row) for item, row in rows if question_of(row)]
    train = pq.read_table(data / "bench_gsm8k" / "train.parquet").column("question").to_pylist()
    digest = hashlib.blake2b("\0".join([f"{a}\1{b}" for a, b in rows] + train).encode(), digest_size=16).hexdigest()
    items = [item for item, _ in rows]
    near_train = nearest(items, train, 3)
    near_rows = nearest(items, [question_of(row) for _, row in rows], 4)
    pairs = []
    for at, (item, row) in enumerate(rows):
        rng = generator(SEED, "offline judge", at)
        bare = question_of(row)
        around = [train[int(rng.integers(len(train)))] for _ in range(4)]
        pairs += [
            (at, item, row, "same"),
            (at, item, bare, "same"),
            (at, item, f"{around[0]}\n\n{bare}\n\n{around[1]}", "same"),
            (at, item, other_names(bare, rng), "same"),
            (at, item, other_numbers(bare, rng), "numbers"),
            (at, item, some_number(bare, rng), "numbers"),
            (at, item, other_numbers(item, rng), "numbers"),
            (at, item, f"{around[2]}\n\n{train[near_train[at, 0]]}\n\n{around[3]}", "different"),
        ]
        pairs += [(at, item, train[j], "near") for j in near_train[at]]
        others = [j for j in near_rows[at] if j != at][:2]
        pairs += [(at, item, rows[j][1], "different") for j in others]
        pairs.append((at, item, around[0], "different"))
    return pairs, digest


# fit


def fit(x: np.ndarray, sorts: np.ndarray, model: str) -> dict:
    """Logistic regression with weights that cannot be negative: more in common never means less the same.

    min sum_i c_i log(1 + exp(-y_i (w . z_i + b))) + |w|^2 / 2, w >= 0, z standardised, c_i balancing the two classes;
    the weights that are returned speak of the raw features.
    """
    use = np.isin(sorts, SORTS[model]) & ~np.isnan(x[:, 0])
    if model == "numbers":
        use &= x[:, FEATURES.index("has_numbers")] == 1
    columns = [FEATURES.index(name) for name in MODELS[model]]
    z, y = x[use][:, columns], sorts[use] == "same"
    mean, scale = z.mean(0), z.std(0) + 1e-9
    z = (z - mean) / scale
    balance = np.where(y, 0.5 / y.mean(), 0.5 / (~y).mean())

    def loss(p: np.ndarray) -> tuple[float, np.ndarray]:
        logit = z @ p[:-1] + p[-1]
        slope = balance * (1 / (1 + np.exp(-logit)) - y)
        value = (balance * (np.logaddexp(0, logit) - y * logit)).sum() + p[:-1] @ p[:-1] / 2
        return value, np.r_[z.T @ slope + p[:-1], slope.sum()]

    bounds = [(0, None)] * len(columns) + [(None, None)]
    found = minimize(loss, np.zeros(len(columns) + 1), jac=True, bounds=bounds, method="L-BFGS-B").x
    w = found[:-1] / scale
    weights = {name: round(float(v), 4) for name, v in zip(MODELS[model], w)}
    return {"weights": weights, "bias": round(float(found[-1] - w @ mean), 4)}


# figures


def f1(y: np.ndarray, said: np.ndarray) -> float:
    """2 TP / (2 TP + FP + FN)."""
    hit = int((y & said).sum())
    bottom = 2 * hit + int((~y & said).sum()) + int((y & ~said).sum())
    return 2 * hit / bottom if bottom else float("nan")


def interval(y: np.ndarray, said: np.ndarray, rng: np.random.Generator, draws: int = 2000) -> tuple[float, float]:
    """Bootstrap over pairs, 95 %, positives and negatives drawn apart."""
    pos, neg = np.flatnonzero(y), np.flatnonzero(~y)
    values = []
    for _ in range(draws):
        at = np.r_[rng.choice(pos, len(pos)), rng.choice(neg, len(neg))]
        values.append(f1(y[at], said[at]))
    return tuple(np.percentile(values, [2.5, 97.5]))


def held_out(data: Path) -> dict[tuple[str, str], tuple[str, list[tuple[str, str]]]]:
    """Non-empty (item question, rephrase) pairs by benchmark and variant, with the kind."""
    found: dict[tuple[str, str], tuple[str, list[tuple[str, str]]]] = {}
    prompts = {}
    for r in pq.read_table(data / "bench_humaneval" / "humaneval.parquet").to_pylist():
        prompts[r["task_id"]] = r["prompt"]
    for r in pq.read_table(data / "rephrased_pairs" / "rephrased_pairs.parquet").to_pylist():
        if not (r["rephrased"] or "").strip() or not question_of(r["rephrased"]):
            continue
        if r["benchmark"] == "humaneval":
            kind, item = "code", prompts[f"HumanEval/{r['index']}"]
        elif r["benchmark"] == "gsm8k":
            continue
        else:
            kind, item = "knowledge", r["original"].split("\nA. ")[0]
        found.setdefault((r["benchmark"], r["variant"]), (kind, []))[1].append((item, r["rephrased"]))
    return found


def figures(said: np.ndarray, y: np.ndarray, probability: np.ndarray, rng: np.random.Generator) -> dict:
    """F1 with interval, recall, false positive rate, and the F1 of the best threshold on this very data (optimistic)."""
    low, high = interval(y, said, rng)
    best = max(f1(y, probability >= t) for t in np.unique(probability))
    rates = {"f1": f1(y, said), "low": low, "high": high, "best_f1": best}
    rates |= {"recall": said[y].mean(), "false_positive_rate": said[~y].mean()}
    return {"positives": int(y.sum()), "negatives": int((~y).sum())} | {k: round(float(v), 4) for k, v in rates.items()}


def show(name: str, found: dict) -> None:
    """One line."""
    print(
        f"{name:44s} n = {found['positives']}+{found['negatives']}  F1 {found['f1']:.3f} [{found['low']:.3f}, "
        f"{found['high']:.3f}]  recall {found['recall']:.3f}  FPR {found['false_positive_rate']:.3f}  "
        f"(best threshold {found['best_f1']:.3f}; flag everything {floor(found):.3f})"
    )


def floor(found: dict) -> float:
    """F1 of flagging everything: 2/3 for as many positives as negatives."""
    return 2 * found["positives"] / (2 * found["positives"] + found["negatives"])


def report(name: str, kind: str, pairs: list[tuple[str, str]], idf: Idf, weights: dict) -> dict:
    """Negatives: a random other rephrase, and the nearest other rephrase (hard); empties were dropped before."""
    rng = generator(SEED, "figures", name)
    items, rows = [a for a, _ in pairs], [b for _, b in pairs]
    n = len(pairs)
    judged = judge_features(items, rows, kind, idf)
    same = probability(judged, kind, weights)
    distinct = [[j for j in range(n) if items[j] != items[i]] for i in range(n)]
    random = [int(rng.choice(distinct[i])) for i in range(n)]
    pool = nearest(items, rows, min(n, 6))
    hard = [next((int(j) for j in pool[i] if items[j] != items[i]), random[i]) for i in range(n)]
    out = {}
    for what, chosen in (("random", random), ("hard", hard)):
        other = probability(judge_features(items, [rows[j] for j in chosen], kind, idf), kind, weights)
        y, p = np.r_[np.ones(n, bool), np.zeros(n, bool)], np.r_[same, other]
        out[what] = figures(p >= 0.5, y, p, rng)
        show(f"{name} ({kind}), {what} negatives", out[what])
    return out


def main() -> None:
    """Train, report, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder with bench_gsm8k, rephrased_pairs, ...")
    data = parser.parse_args().data
    WEIGHTS.mkdir(exist_ok=True)
    idf, documents = document_frequencies(data)
    pairs, digest = training_pairs(data)
    x = pair_features([p[1] for p in pairs], [p[2] for p in pairs], idf)
    sorts = np.array([p[3] for p in pairs])
    fold = np.array([at % 5 for at, *_ in pairs])
    out = {"GSM8K, 5-fold by item": {}}
    for kind in KIND_MODELS:
        p = np.full(len(pairs), np.nan)
        for f in range(5):
            p[fold == f] = probability(x[fold == f], kind, {m: fit(x[fold != f], sorts[fold != f], m) for m in MODELS})
        counted = ("same", "different", "near", "numbers") if "numbers" in KIND_MODELS[kind] else ("same", "different")
        use = np.isin(sorts, counted)
        out["GSM8K, 5-fold by item"][kind] = figures(p[use] >= 0.5, sorts[use] == "same", p[use], generator(SEED, kind))
        show(f"GSM8K, 5-fold by item ({kind})", out["GSM8K, 5-fold by item"][kind])
        print(
            "    share called the same:", {s: round(float((p[sorts == s] >= 0.5).mean()), 3) for s in np.unique(sorts)}
        )
    weights = {m: fit(x, sorts, m) for m in MODELS}
    print(json.dumps(weights))
    for (benchmark, variant), (kind, found) in held_out(data).items():
        if not variant.startswith("zh"):
            out[f"{benchmark} {variant}"] = report(f"{benchmark} {variant}", kind, found, idf, weights)
    table = (WEIGHTS / "idf.npz").read_bytes()
    python = f"Python {sys.version_info.major}.{sys.version_info.minor}"
    record = {
        "version": "1-" + hashlib.blake2b(json.dumps(weights).encode() + table, digest_size=4).hexdigest(),
        "models": weights,
        "training": {
            "data": "GSM8K test questions with their published rephrases (lm-sys/llm-decontaminator), GSM8K train",
            "hash": digest,
            "pairs": len(pairs),
            "seed": SEED,
            "idf": f"GSM8K train, WikiText-2, AG News test, {python} library sources",
            "idf_documents": documents,
            "idf_hash": hashlib.blake2b(table, digest_size=16).hexdigest(),
        },
        "figures": out,
    }
    (WEIGHTS / "offline_judge.json").write_text(json.dumps(record, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
