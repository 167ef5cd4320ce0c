"""Log-probabilities, entropy and exact KL from logits. Pure functions: tensors in, tensors out, float32 inside."""

from torch import Tensor


def of_tokens(logits: Tensor, ids: Tensor, temperature: float) -> Tensor:
    """Return log softmax(logits / temperature)[ids]: logits [B, R, V], ids [B, R] -> [B, R], nats."""
    if logits.shape[:2] != ids.shape:
        raise ValueError(f"logits {tuple(logits.shape)} and ids {tuple(ids.shape)} must agree in [B, R]")
    scaled = logits.float() / temperature
    return scaled.gather(-1, ids.unsqueeze(-1)).squeeze(-1) - scaled.logsumexp(dim=-1)


def entropy(logits: Tensor, temperature: float) -> Tensor:
    """Return the entropy of softmax(logits / temperature): [B, R, V] -> [B, R], nats."""
    log_p = (logits.float() / temperature).log_softmax(dim=-1)
    return -(log_p.exp() * log_p).sum(dim=-1)


def exact_kl(logits: Tensor, reference_logits: Tensor, temperature: float) -> Tensor:
    """Return KL(policy || reference) at each position over the whole vocabulary: two [B, R, V] -> [B, R], nats."""
    log_p = (logits.float() / temperature).log_softmax(dim=-1)
    log_q = (reference_logits.float() / temperature).log_softmax(dim=-1)
    return (log_p.exp() * (log_p - log_q)).sum(dim=-1)


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Return the mean of values where mask is True; both of one shape."""
    return (values * mask).sum() / mask.sum()
