"""One reader per format; `READERS` maps a format's name to its module, `SUFFIXES` a file's ending to the format."""

from antivenom.data.readers import csv, hub, image_folder, jsonl, parquet, plain_text, webdataset

__all__ = ["READERS", "SUFFIXES"]

READERS = {
    "jsonl": jsonl,
    "parquet": parquet,
    "csv": csv,
    "text": plain_text,
    "webdataset": webdataset,
    "images": image_folder,
    "hf": hub,
}

SUFFIXES = {
    suffix: name
    for name, endings in {
        "jsonl": (
            ".jsonl",
            ".ndjson",
            ".jsonl.gz",
            ".jsonl.zst",
            ".ndjson.gz",
            ".ndjson.zst",
            ".json.gz",
            ".json.zst",
            ".json",
        ),
        "parquet": (".parquet", ".pq"),
        "csv": (".csv", ".tsv", ".csv.gz", ".tsv.gz"),
        "webdataset": (".tar", ".tar.gz", ".tgz"),
        "text": [
            ".txt",
            ".txt.gz",
            ".txt.zst",
            ".md",
            ".rst",
            ".py",
            ".js",
            ".ts",
            ".java",
            ".c",
            ".h",
            ".cc",
            ".cpp",
            ".hpp",
            ".go",
            ".rs",
            ".rb",
            ".php",
            ".sh",
            ".sql",
            ".r",
            ".jl",
            ".scala",
            ".kt",
            ".swift",
            ".cs",
            ".html",
            ".xml",
            ".yaml",
            ".yml",
            ".toml",
            ".tex",
        ],
    }.items()
    for suffix in endings
}
