"""What tokens and keys look like, whatever names them: each shape has a prefix of its own."""

import re

JWT = re.compile(r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*")  # a signed token (RFC 7519)

# {what a text must hold for the shape to be looked for: the shape}
KEYS = {
    "eyJ": JWT,
    "sk-": re.compile(r"(?<![\w-])sk-(?=[a-zA-Z_-]{0,40}\d)[\w-]{20,}"),  # OpenAI, Anthropic and those like them
    "AKIA": re.compile(r"\bAKIA[A-Z0-9]{16}\b"),  # AWS
    "ASIA": re.compile(r"\bASIA[A-Z0-9]{16}\b"),  # AWS, for a session
    **{
        prefix: re.compile(rf"\b{prefix}[A-Za-z0-9]{{36,}}") for prefix in ("ghp_", "gho_", "ghu_", "ghs_", "ghr_")
    },  # GitHub
    "github_pat_": re.compile(r"\bgithub_pat_\w{22,}"),
    "glpat-": re.compile(r"\bglpat-[\w-]{20,}"),  # GitLab
    "xox": re.compile(r"\bxox[abeprs]-[\w-]{10,}"),  # Slack
    "AIza": re.compile(r"\bAIza[\w-]{35}"),  # Google
    "hf_": re.compile(r"\bhf_[A-Za-z0-9]{30,}"),  # Hugging Face
    "k_live_": re.compile(r"\b[rs]k_live_[A-Za-z0-9]{16,}"),  # Stripe
    "PRIVATE KEY": re.compile(
        r"-----BEGIN (?:[A-Z]{1,12} ){0,3}PRIVATE KEY-----(?:[^-]*-----END (?:[A-Z]{1,12} ){0,3}PRIVATE KEY-----)?"
    ),
}
