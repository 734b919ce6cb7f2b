"""Tiny CLIPs as open_clip and as transformers save them, made in code."""

import json

MODEL = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "patch_size": 8, "head_width": 16},
    "text_cfg": {"context_length": 20, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}
RESNET = MODEL | {"vision_cfg": {"image_size": 32, "layers": [1, 1, 1, 1], "width": 8}}
PIXELS = {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.25, 0.3], "interpolation": "bilinear", "resize_mode": "squash"}


def open_clip_tiny(path, *, architecture=None, pixels=None, seed=0, bin=False):
    """A folder that open_clip itself would have written."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    config = {"model_cfg": architecture or MODEL, "preprocess_cfg": pixels or {}}
    path.mkdir(parents=True, exist_ok=True)
    (path / "open_clip_config.json").write_text(json.dumps(config))
    torch.manual_seed(seed)
    model = open_clip.CLIP(**json.loads(json.dumps(config["model_cfg"])))
    if bin:
        torch.save({"state_dict": {f"module.{k}": v for k, v in model.state_dict().items()}}, path / "weights.pt")
    else:
        save_file(model.state_dict(), path / "open_clip_model.safetensors")
    return path


def transformers_tiny(path, *, width=16, seed=0):
    """A folder that transformers itself would have written."""
    import torch
    import transformers
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    path.mkdir(parents=True, exist_ok=True)
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    tokens = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {token: i for i, token in enumerate(tokens)}
    transformers.CLIPTokenizer(vocab=vocabulary, merges=[]).save_pretrained(path)
    CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}).save_pretrained(path)
    layer = {"hidden_size": width, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = layer | {
        "vocab_size": len(tokens), "max_position_embeddings": 40, "bos_token_id": len(tokens) - 2,
        "eos_token_id": len(tokens) - 1, "pad_token_id": len(tokens) - 1,
    }  # fmt: skip
    config = transformers.CLIPConfig(
        text_config=text, vision_config=layer | {"image_size": 32, "patch_size": 8}, projection_dim=12
    )
    torch.manual_seed(seed)
    transformers.CLIPModel(config).save_pretrained(path)
    return path
