r"""The adapter: what lm-evaluation-harness asks, and how a model answers.

Benchmarks whose numbers people quote are run by lm-evaluation-harness. It asks a model
three things, all by text: how likely a continuation is after a context (from which it
makes multiple choice: the likeliest of four answers is the model's), how likely a whole
text is, and what the model writes. With this adapter it can ask the models of this
package::

    pip install 'minibitnet[eval]'
    python -m minibitnet.evaluation.harness --model minibitnet \
        --model_args pretrained=microsoft/bitnet-b1.58-2B-4T --tasks arc_easy

The words after the module are those of ``lm_eval``, which has no way to find models of
other packages; so this begins it, with one model more.

Notes
-----
Numbers can be compared with those of the harness's Hugging Face backend only where text
is cut into tokens as there:

- Begin-of-text is put before every context, if the tokenizer has one
  (``add_bos_token=False`` leaves it out); a continuation without context follows it.
- Context and continuation are encoded as one text and then parted, spaces at the end of
  the context counting to the continuation.
- What is too long loses its beginning. A whole text is read in windows of the context,
  each token scored once; as there, begin-of-text is scored after itself.

Requests are answered in the order of their tokens, so that those with the same
beginning (the answers to a question, the questions behind the same examples) follow
each other and the cache keeps it: it is read once.

References
----------
Gao et al., The Language Model Evaluation Harness, lm_eval/api/model.py and
lm_eval/models/huggingface.py (0.4.13).

Examples
--------
How a story goes on, in four ways; the first is the one that would be written:

>>> from types import SimpleNamespace as Request
>>> adapter = Adapter()
>>> story = "Once upon a time, there was a little"
>>> asked = [(story, end) for end in (" girl", " boy", " fish", " number")]
>>> found = adapter.loglikelihood([Request(args=pair) for pair in asked])
>>> [(round(logprob, 2), greedy) for logprob, greedy in found]
[(-0.46, True), (-1.3, False), (-6.67, False), (-12.88, False)]
>>> adapter.generate_until([Request(args=("Once upon a time", {"until": [" a"]}))])
[', there was']
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np

from minibitnet.checkpoint import load
from minibitnet.conversation import Reader
from minibitnet.decode import generate, next_logits
from minibitnet.evaluation.perplexity import Window, score_end
from minibitnet.evaluation.questions import Pair, Scored, Wish, parse_wish, tokens_of
from minibitnet.evaluation.score import log_softmax, predictions
from minibitnet.files.progress import progress
from minibitnet.model import check_ids
from minibitnet.text.controltokens import Message

Question = TypeVar("Question")
Answer = TypeVar("Answer")


class Request(Protocol):
    """What is asked: an ``Instance`` of the harness."""

    args: tuple[Any, ...]


class Adapter:
    """A model as the harness knows models.

    Parameters
    ----------
    pretrained : str, optional
        A checkpoint, as `minibitnet.load` takes it; by default the built-in model.
    add_bos_token : bool
        False puts no begin-of-text before contexts.
    max_length : int, optional
        How many tokens to read at most, by default the whole context of the model.
    kernel, threads
        As `minibitnet.load` takes them.
    batch_size, max_batch_size, device
        The harness gives them to every model, asked for or not (device is "cuda:0").
        Here there is no batch, and one device.

    Raises
    ------
    ValueError
        If the checkpoint has no tokenizer, or `max_length` is more than it can read.
    """

    cache_hook: Any = None  # the harness's: keeps answers for a run that is interrupted

    def __init__(
        self,
        pretrained: str | None = None,
        add_bos_token: bool = True,
        max_length: int | None = None,
        kernel: str = "auto",
        threads: int | None = None,
        batch_size: Any = None,
        max_batch_size: Any = None,
        device: str | None = None,
    ) -> None:
        super().__init__()
        self.model, tokenizer = load(pretrained, kernel=kernel, threads=threads)
        if tokenizer is None:
            raise ValueError(f"{pretrained}: expected a tokenizer, found none")
        context = self.model.config.max_position_embeddings
        self.max_length = context if max_length is None else max_length
        if not 1 <= self.max_length <= context:
            raise ValueError(f"max_length must be 1 to {context}, got {max_length}")
        self.name, self.tokenizer, self.bos = str(pretrained), tokenizer, add_bos_token
        self.reader = Reader(self.model)

    @property
    def tokenizer_name(self) -> str:
        """A name under which the harness keeps requests that it has written out."""
        return self.name.replace("/", "__")

    def chat_template(self, chat_template: bool | str = False) -> str | None:
        """The template of `apply_chat_template`, for the harness's notes."""
        return self.tokenizer.chat_template if chat_template else None

    def apply_chat_template(
        self, chat_history: Sequence[Message], add_generation_prompt: bool = True
    ) -> str:
        """A conversation as one text: up to an answer, or inside the last message."""
        text = self.tokenizer.render(chat_history, add_generation_prompt)
        if add_generation_prompt:
            return text
        last = chat_history[-1]["content"].strip()
        return text[: text.rindex(last) + len(last)]

    def loglikelihood(self, requests: Sequence[Request]) -> list[Scored]:
        """How likely each continuation is after its context."""
        pairs = [self.encode_pair(*request.args) for request in requests]
        return self.answer_all("loglikelihood", requests, pairs, self.score_pair)

    def loglikelihood_rolling(self, requests: Sequence[Request]) -> list[float]:
        """Of each text the log-probability of all of it."""
        texts = [self.encode(*request.args) for request in requests]
        return self.answer_all(
            "loglikelihood_rolling", requests, texts, self.score_whole
        )

    def generate_until(self, requests: Sequence[Request]) -> list[str]:
        """What is written after each context, up to where a stop string begins."""
        wishes = [
            parse_wish(self.encode(request.args[0]), request.args[1], seed)
            for seed, request in enumerate(requests)
        ]
        return self.answer_all("generate_until", requests, wishes, self.write)

    def answer_all(
        self,
        kind: str,
        requests: Sequence[Request],
        questions: Sequence[Question],
        answer: Callable[[Question], Answer],
    ) -> list[Answer]:
        """Answer in the order of the tokens; give back in that of the requests."""
        answers: dict[int, Answer] = {}
        order = sorted(range(len(questions)), key=lambda i: tokens_of(questions[i]))
        for i in progress(order, kind):
            answers[i] = answer(questions[i])
            if self.cache_hook is not None:
                self.cache_hook.add_partial(kind, requests[i].args, answers[i])
        return [answers[i] for i in range(len(questions))]

    @property
    def prefix(self) -> int:
        """The token that comes before what has no context."""
        return [*self.tokenizer.bos_ids, *self.model.config.eos_token_ids][0]

    def encode(self, text: str) -> list[int]:
        """The ids of a context, at least one."""
        return self.tokenizer.encode(text, bos=self.bos) or [self.prefix]

    def encode_pair(self, context: str, continuation: str) -> Pair:
        """The ids of a context and of what follows it."""
        bos = self.bos and context != ""
        before = self.tokenizer.encode(context.rstrip(), bos=bos)
        whole = self.tokenizer.encode(context + continuation, bos=bos)
        if not before:
            before = [self.prefix]
            whole = whole if whole[:1] == before else before + whole
        return Pair(before, whole[len(before) :])

    def score_pair(self, pair: Pair) -> Scored:
        """How likely a continuation is; of its context is read what is new."""
        n = len(pair.continuation)
        if not 1 <= n <= self.max_length:
            raise ValueError(
                f"a continuation must have 1 to {self.max_length} tokens, got {n}"
            )
        ids = (pair.context + pair.continuation)[-(self.max_length + 1) :]
        *unread, last = self.reader.turn_to(ids[:-n])
        cache = self.reader.cache
        if unread:
            next_logits(self.model, check_ids(unread, self.model.config, cache), cache)
        total, greedy = 0.0, True
        following = [last, *pair.continuation]
        for logits, token in predictions(self.model, following, cache):
            total += float(log_softmax(logits)[token])
            greedy &= bool(logits.argmax() == token)
        self.reader.ids = ids
        return Scored(total, greedy)

    def score_whole(self, ids: list[int]) -> float:
        """The log-probability of a text, each token in the longest context."""
        every, most = [self.prefix, *ids], self.max_length
        ends = [*range(most, len(ids), most), len(ids)]
        return sum(
            float(score_end(self.model, Window(every[start : end + 1], new)).sum())
            for end, new in zip(ends, np.diff(ends, prepend=0).tolist(), strict=True)
            for start in [max(0, end - most)]
        )

    def write(self, wish: Wish) -> str:
        """What the model writes after a context."""
        room = self.max_length - wish.limit
        if room < 1:
            raise ValueError(
                f"new tokens must be below {self.max_length}, got {wish.limit}"
            )
        unread = self.reader.turn_to(wish.ids[-room:])
        tokens = generate(
            self.model,
            unread,
            wish.limit,
            seed=wish.seed,
            cache=self.reader.cache,
            stop=wish.stop,
            **wish.sampling,
        )
        text = self.tokenizer.decode([*self.reader.note(tokens)])
        return min((text.partition(end)[0] for end in wish.stop), key=len, default=text)


def register() -> None:  # pragma: no cover  (lm_eval is no dependency)
    """Let the harness know the adapter under the name ``minibitnet``."""
    import lm_eval.models  # noqa: F401  (else its own would no longer be looked for)
    from lm_eval.api.model import LM
    from lm_eval.api.registry import register_model

    register_model("minibitnet")(type("MinibitnetLM", (Adapter, LM), {}))


def main() -> None:  # pragma: no cover
    """Run ``lm_eval`` with one model more."""
    register()
    from lm_eval.__main__ import cli_evaluate

    cli_evaluate()


if __name__ == "__main__":  # pragma: no cover
    main()
