"""How a language model is reached, asked and paid: the engine's part of the `llm:` section.

What is asked (modes, quotas, prompts) is not here. `base_url`, `model`, the sampling parameters and
`extra_body` change what comes back; everything else here changes when it comes and what it may cost.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, field_validator, model_validator

from evenly.params.base import Settings

#: What the request itself says: never to be set through `extra_body`.
RESERVED_BODY = frozenset({"messages", "model", "stream", "max_tokens", "response_format", "n", "seed"})


def is_loopback(url: str) -> bool:
    """Whether a URL leads to this machine."""
    from ipaddress import ip_address
    from urllib.parse import urlsplit

    host = urlsplit(url).hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


class Price(Settings):
    """What a model costs, in money per million tokens (any one currency for all models).

    `cached_input` is the price of prompt tokens that the server had in its cache (left out: `input`), `batch`
    the share of all prices that batch mode pays.
    """

    input: NonNegativeFloat
    output: NonNegativeFloat
    cached_input: NonNegativeFloat | None = None
    batch: Annotated[float, Field(ge=0, le=1)] = 1.0


class EndpointSettings(Settings):
    """One OpenAI-compatible endpoint. The key itself is found under `key_variable`, never here."""

    base_url: str
    model: Annotated[str, Field(min_length=1)]
    key_variable: str | None = "OPENAI_API_KEY"
    extra_body: dict[str, Any] = Field(default_factory=dict)

    @field_validator("base_url")
    @classmethod
    def _url_without_tail(cls, value: str) -> str:
        if not value.startswith(("http://", "https://")):
            raise ValueError("a base_url begins with http:// or https:// (and mostly ends in /v1)")
        if "@" in value.split("//", 1)[1].split("/", 1)[0]:
            raise ValueError("a base_url holds no user or password; the key comes from the environment")
        return value.rstrip("/").removesuffix("/chat/completions")

    @field_validator("key_variable")
    @classmethod
    def _a_name_not_a_key(cls, value: str | None) -> str | None:
        if value is not None and not value.replace("_", "").isalnum():
            raise ValueError("give the name of an environment variable, not the key itself")
        return value

    @field_validator("extra_body")
    @classmethod
    def _nothing_reserved(cls, value: dict[str, Any]) -> dict[str, Any]:
        if taken := sorted(RESERVED_BODY & value.keys()):
            raise ValueError(f"{', '.join(taken)} cannot be set through extra_body")
        return value


class EngineSettings(EndpointSettings):
    """The endpoint, its fallbacks in order, sampling, limits and spending caps.

    Endpoints of one model with the same `extra_body` are copies: requests take turns among them, each with
    the whole `concurrency` and rates, and what one cannot answer goes to the next.

    `max_calls`, `max_tokens_total` and `max_cost` bound one result: answers taken from the journal count with
    what they cost when they were paid, so that a run which is killed and started again stops where one run
    would have.
    """

    fallbacks: list[EndpointSettings] = Field(default_factory=list)

    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    max_tokens: PositiveInt = 2048
    #: The n-th request with the same content is sent with `seed + n`: a seeded server would repeat itself
    #: otherwise.
    seed: int | None = None
    stream: bool = False

    concurrency: PositiveInt = 32
    requests_per_minute: PositiveInt | None = None
    tokens_per_minute: PositiveInt | None = None

    #: Tries per request against errors of the server or the connection (a 429 is waited out and counts an
    #: eighth).
    attempts: PositiveInt = 6
    #: Times one request is asked when its answer cannot be used.
    asks: PositiveInt = 4
    connect_seconds: PositiveFloat = 10.0
    #: Longest silence on an open connection; without `stream` the whole answer is thought out in silence.
    silence_seconds: PositiveFloat = 180.0
    total_seconds: PositiveFloat = 600.0

    prices: dict[str, Price] = Field(default_factory=dict)
    max_cost: PositiveFloat | None = None
    max_tokens_total: PositiveInt | None = None
    max_calls: PositiveInt | None = None

    @model_validator(mode="after")
    def _capped_cost_needs_prices(self) -> EngineSettings:
        if self.max_cost is not None:
            for endpoint in self.endpoints:
                if endpoint.model not in self.prices:
                    raise ValueError(
                        f"max_cost needs the price of {endpoint.model}: give prices.{endpoint.model} as "
                        "{input: ..., output: ...} per million tokens, or use max_tokens_total or max_calls"
                    )
        return self

    @property
    def endpoints(self) -> list[EndpointSettings]:
        """The endpoint itself and then its fallbacks, in the order in which they are asked."""
        return [self, *self.fallbacks]

    @property
    def copies(self) -> int:
        """How many endpoints serve the first one's model with its `extra_body`, and so share its requests."""
        return sum((one.model, one.extra_body) == (self.model, self.extra_body) for one in self.endpoints)
