#!/usr/bin/env python3
"""Compares token_models.py with GPT2LMHeadModel and LlamaForCausalLM of the transformers library: logits and
gradients in float64. Run by hand; needs transformers."""
import sys

import torch
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

import make_golden
import token_models as ours


def as_gpt2(name):
    """Our names to the library's, and whether the matrix lies transposed (its Conv1D)."""
    if name in ("tokens.weight", "positions.weight"):
        return {"t": "transformer.wte.weight", "p": "transformer.wpe.weight"}[name[0]], False
    if name.startswith("norm."):
        return name.replace("norm.", "transformer.ln_f."), False
    block, layer, part = name.split(".")
    theirs = {"norm1": "ln_1", "qkv": "attn.c_attn", "projection": "attn.c_proj", "norm2": "ln_2", "up": "mlp.c_fc",
              "down": "mlp.c_proj"}[layer]
    return f"transformer.h.{block[5:]}.{theirs}.{part}", part == "weight" and not layer.startswith("norm")


def llama_pieces(name):
    """Our name to the library's tensors, one under another."""
    if name == "tokens.weight":
        return ["model.embed_tokens.weight"]
    if name in ("norm.weight", "output.weight"):
        return [{"n": "model.norm.weight", "o": "lm_head.weight"}[name[0]]]
    block, layer, _ = name.split(".")
    pieces = {"norm1": ["input_layernorm"], "qkv": [f"self_attn.{x}_proj" for x in "qkv"],
              "projection": ["self_attn.o_proj"], "norm2": ["post_attention_layernorm"],
              "gate_up": ["mlp.gate_proj", "mlp.up_proj"], "down": ["mlp.down_proj"]}[layer]
    return [f"model.layers.{block[5:]}.{x}.weight" for x in pieces]


def compare(name, reference):
    model = make_golden.MODELS[name]
    p = make_golden.Parameters(torch.float64)
    x, y = model.data(0, torch.float64)
    logits = model.function(p, x)
    make_golden.sum_of_losses(model, p, x, y).backward()
    theirs = dict(reference.named_parameters())
    seen = set()
    with torch.no_grad():
        for key, tensor in p.tensors.items():
            if name == "gpt":
                other, transposed = as_gpt2(key)
                theirs[other].copy_(tensor.T if transposed else tensor)
            else:
                rows = 0
                for other in llama_pieces(key):
                    theirs[other].copy_(tensor[rows : rows + len(theirs[other])])
                    rows += len(theirs[other])
                assert rows == len(tensor), key
    other_logits = reference(x).logits
    torch.nn.functional.cross_entropy(other_logits.reshape(-1, ours.VOCABULARY), y.reshape(-1),
                                      reduction="sum").backward()
    worst = (other_logits - logits).abs().max().item()
    for key, tensor in p.tensors.items():
        if name == "gpt":
            other, transposed = as_gpt2(key)
            grad = theirs[other].grad.T if transposed else theirs[other].grad
            seen.add(other)
        else:
            grad = torch.cat([theirs[other].grad for other in llama_pieces(key)])
            seen.update(llama_pieces(key))
        worst = max(worst, (grad - tensor.grad).abs().max().item() / tensor.grad.abs().max().item())
    assert seen == set(theirs), set(theirs) - seen
    print(f"{name}: largest difference of logits and gradients {worst:.2e}")
    return worst <= (1e-12 if name == "gpt" else 1e-6)  # theirs computes Llama's norms and angles in float32


def main():
    common = {"vocab_size": ours.VOCABULARY, "attn_implementation": "eager"}
    gpt = GPT2LMHeadModel(GPT2Config(n_positions=ours.TOKENS, n_embd=ours.WIDTH, n_layer=ours.BLOCKS,
                                     n_head=ours.HEADS, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0, **common))
    llama = LlamaForCausalLM(LlamaConfig(hidden_size=ours.WIDTH, intermediate_size=ours.FEED_FORWARD,
                                         num_hidden_layers=ours.BLOCKS, num_attention_heads=ours.LLAMA_HEADS,
                                         num_key_value_heads=ours.LLAMA_KV_HEADS, max_position_embeddings=ours.TOKENS,
                                         rms_norm_eps=1e-5, tie_word_embeddings=False, **common))
    good = [compare("gpt", gpt.double()), compare("llama", llama.double())]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
