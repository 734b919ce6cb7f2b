"""How well comments are judged: ToxiCR's evaluation, ablation, comparison and tuning on labelled comments."""
