"""A stand-in for vLLM: its server's addresses and its class's calls, around a transformers model of its own.

    python -m tests.stand_in FOLDER      prints the port that it serves, and ends with its standard input

It draws by whole forward passes, and remembers what it has read of a prompt until it is told to forget, as a prefix
cache does. What it is told of sampling it does; what it is not told is as vLLM's defaults are.
"""

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any, NamedTuple

import torch

from rlhf.rollouts.vllm_worker import Receiving

DEFAULTS = {
    "max_tokens": 16,
    "temperature": 1.0,
    "seed": None,
    "ignore_eos": False,
    "stop_token_ids": [],
    "logit_bias": {},
}


class Loader:
    """The part of vLLM's model that takes weights."""

    def __init__(self, model):
        self.model, self.ignored = model, set[str]()

    def named_parameters(self):
        return self.model.named_parameters()

    @torch.no_grad()
    def load_weights(self, weights) -> set[str]:
        own, loaded = dict(self.model.named_parameters()), set()
        for name, tensor in weights:
            if name not in self.ignored:
                own[name].copy_(tensor)
                loaded.add(name)
        return loaded


class Worker(Receiving):
    """A worker of vLLM with the extension that it is given."""

    def __init__(self, model):
        self.model_runner = SimpleNamespace(model=Loader(model))


class Drawn(NamedTuple):
    token_ids: list[int]
    logprobs: list[float]


class Engine:
    """Weights, and a memory of prompts."""

    def __init__(self, model):
        self.model, self.worker = model.eval(), Worker(model)
        self.lock, self.read, self.num_resets = threading.Lock(), dict[Any, torch.Tensor](), 0
        self.last: dict[str, Any] = {}

    def call(self, method: str, arguments) -> Any:
        with self.lock:
            return getattr(self.worker, method)(*arguments)

    def forget(self) -> None:
        with self.lock:
            self.read.clear()
            self.num_resets += 1

    @torch.no_grad()
    def draw(self, prompt: list[int], asked: dict[str, Any], salt: str | None = None) -> Drawn:
        with self.lock:
            return self._draw(
                prompt, {**DEFAULTS, **{key: value for key, value in asked.items() if value is not None}}, salt
            )

    def _draw(self, prompt, asked, salt) -> Drawn:
        generator = torch.Generator()
        generator.manual_seed(asked["seed"]) if asked["seed"] is not None else generator.seed()
        ends, drawn = {*asked["stop_token_ids"]}, Drawn([], [])
        ends |= set() if asked["ignore_eos"] else {self.model.config.eos_token_id}
        while len(drawn.token_ids) < asked["max_tokens"]:
            key = salt, *prompt, *drawn.token_ids
            if key not in self.read:
                self.read[key] = self.model(input_ids=torch.tensor([[*prompt, *drawn.token_ids]])).logits[0, -1].float()
            logits = self.read[key].clone()
            for token, bias in asked["logit_bias"].items():
                logits[int(token)] += bias
            warm = asked["temperature"] > 0
            log_p = (logits / asked["temperature"] if warm else logits).log_softmax(-1)
            token = int(torch.multinomial(log_p.exp(), 1, generator=generator)) if warm else int(log_p.argmax())
            drawn.token_ids.append(token)
            drawn.logprobs.append(log_p[token].item())
            if token in ends:
                break
        return drawn


class LLM:
    """vLLM's class, as far as it is called."""

    made: list["LLM"] = []  # noqa: RUF012 - for tests to look at

    def __init__(self, model: str, **settings: Any):
        from transformers import AutoConfig, AutoModelForCausalLM

        torch.manual_seed(99)  # weights of nobody: load_format is dummy
        self.settings = settings
        config = AutoConfig.from_pretrained(model)
        made = AutoModelForCausalLM.from_config(config)
        assert config.architectures == [type(made).__name__]  # vLLM knows models by these names
        self.engine = Engine(made)
        LLM.made.append(self)

    def collective_rpc(self, method: str, args=()) -> list[Any]:
        return [self.engine.call(method, args)]

    def reset_prefix_cache(self) -> None:
        self.engine.forget()

    def generate(self, prompts, sampling_params, use_tqdm: bool) -> list[Any]:
        found = []
        for prompt, asked in zip(prompts, sampling_params, strict=True):
            ids, numbers = self.engine.draw(prompt["prompt_token_ids"], asked)
            places = [{token: SimpleNamespace(logprob=number)} for token, number in zip(ids, numbers, strict=True)]
            found.append(SimpleNamespace(outputs=[SimpleNamespace(token_ids=ids, logprobs=places)]))
        return found


def serve(engine: Engine) -> ThreadingHTTPServer:
    """Return a server that is not started yet."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:  # noqa: N802
            said = {"/v1/models": {"data": [{"id": "policy"}]}}
            said["/stand_in"] = {"resets": engine.num_resets, "last": engine.last}
            self._say(said.get(self.path))

        def do_POST(self) -> None:  # noqa: N802
            told = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or "{}")
            if self.path == "/collective_rpc":
                self._say({"results": [engine.call(told["method"], told["args"])]})
            elif self.path == "/reset_prefix_cache":
                engine.forget()
                self._say({})
            elif self.path == "/v1/completions":
                engine.last = told
                ids, numbers = engine.draw(told["prompt"], told, told.get("cache_salt"))
                self._say({"choices": [{"token_ids": ids, "logprobs": {"token_logprobs": numbers}}]})
            else:
                self._say(None)

        def _say(self, content: Any) -> None:
            body = json.dumps(content).encode()
            self.send_response(404 if content is None else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    return ThreadingHTTPServer(("127.0.0.1", 0), Handler)


def main(folder: str) -> None:
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(1)
    server = serve(Engine(AutoModelForCausalLM.from_pretrained(folder)))
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    print(server.server_port, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1])
