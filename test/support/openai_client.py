"""What people do with OpenAI's Python client, against two nodes by turns; prints what came of one section as JSON.

    python openai_client.py URL_OF_ONE URL_OF_THE_OTHER URL_THAT_LOSES_ANSWERS SECTION
"""

import json
import sys

from openai import APIConnectionError, BadRequestError, NotFoundError, OpenAI

ONE, OTHER, LOSING = sys.argv[1:4]
TOLD, ASKED = "My name is Zorvik.", "What is my name?"
PLAIN = {"model": "demo", "temperature": 0}


def at(url):
    return OpenAI(base_url=f"{url}/v1", api_key="any", max_retries=2)


one, other, losing = at(ONE), at(OTHER), at(LOSING)


def refusal(kind, call):
    try:
        call()
    except kind as error:
        return [error.status_code, error.code, error.param]
    return None


def responses():
    first = one.responses.create(input=TOLD, max_output_tokens=64, **PLAIN)
    shown = other.responses.retrieve(first.id)
    second = other.responses.create(input=ASKED, previous_response_id=first.id, max_output_tokens=64, **PLAIN)
    with one.responses.stream(input=ASKED, previous_response_id=second.id, max_output_tokens=64, **PLAIN) as stream:
        deltas = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
        final = stream.get_final_response()
    items = [item.content[0].text for item in other.responses.input_items.list(final.id, limit=1, order="asc")]
    one.responses.delete(first.id)
    return {
        "same": shown == first,
        "known": second.output_text,
        "streamed": final.output_text,
        "deltas": deltas,
        "items": items,
        "deleted": refusal(NotFoundError, lambda: one.responses.retrieve(first.id)),
    }


def conversations():
    item = {"type": "message", "role": "user", "content": TOLD}
    conversation = one.conversations.create(items=[item], metadata={"topic": "names"}).id
    other.responses.create(conversation=conversation, input="What is SLAM?", max_output_tokens=64, **PLAIN)
    known = one.responses.create(conversation=conversation, input=ASKED, max_output_tokens=64, **PLAIN).output_text
    roles = [item.role for item in one.conversations.items.list(conversation, limit=2, order="asc")]
    topic = other.conversations.retrieve(conversation).metadata["topic"]
    gone = one.conversations.delete(conversation).deleted
    return {"known": known, "roles": roles, "topic": topic, "gone": gone}


def chat():
    messages, places, text = [], [], ""
    for turn, content in enumerate([TOLD, "Thank you.", ASKED]):
        messages.append({"role": "user", "content": content})
        client = other if turn % 2 else one
        completion = client.chat.completions.create(messages=messages, max_tokens=64, **PLAIN)
        choice = completion.choices[0]
        messages.append(choice.message.model_dump(exclude_none=True))
        place = choice.model_extra["discedge"]
        places.append([place["turn"], place["based_on_turn"], place["node"]])
        text = choice.message.content
        # It has arrived at the other node before the client comes there: how long that takes is not what is tried.
        at_next = one if turn % 2 else other
        at_next.get(
            f"{str(at_next.base_url).removesuffix('/v1/')}/sessions/{place['session_id']}?turn={place['turn']}&max_wait_ms=30000",
            cast_to=object,
        )
    messages.append({"role": "user", "content": ASKED})
    chunks = one.chat.completions.create(
        messages=messages, max_tokens=64, stream=True, stream_options={"include_usage": True}, **PLAIN
    )
    streamed, usage = "", None
    for chunk in chunks:
        if chunk.choices:
            streamed += chunk.choices[0].delta.content or ""
        usage = chunk.usage or usage
    return {"places": places, "known": text, "streamed": streamed, "cached": usage.prompt_tokens_details.cached_tokens}


def refusals():
    hello = [{"role": "user", "content": "hello"}]
    return {
        "field": refusal(
            BadRequestError, lambda: one.chat.completions.create(messages=hello, web_search_options={}, **PLAIN)
        ),
        "id": refusal(
            BadRequestError, lambda: one.responses.create(input="x", previous_response_id="resp_none", **PLAIN)
        ),
        "model": refusal(NotFoundError, lambda: one.models.retrieve("none")),
        "embeddings": refusal(BadRequestError, lambda: one.embeddings.create(model="demo", input="hello")),
    }


def retries():
    """Each first answer is lost on its way, one way after the other: the client asks again by itself."""
    replies, previous = [], None
    for loss in ("500", "409", "reset"):
        told = losing.responses.create(
            input=f"{TOLD} ({loss})", max_output_tokens=24, **({"previous_response_id": previous} if previous else {}), **PLAIN
        )
        previous = told.id
        replies.append(told.output_text)
        messages = [{"role": "user", "content": f"{TOLD} ({loss})"}]
        replies.append(losing.chat.completions.create(messages=messages, max_tokens=24, **PLAIN).choices[0].message.content)
    key = {"idempotency-key": "cut-in-python"}
    cut = {"input": f"{TOLD} (cut)", "max_output_tokens": 24, "extra_headers": key, **PLAIN}
    try:
        replies.append(losing.responses.create(**cut).output_text)
    except APIConnectionError:
        replies.append(losing.responses.create(**cut).output_text)
    return replies


SECTIONS = {
    "responses": responses,
    "conversations": conversations,
    "chat": chat,
    "refusals": refusals,
    "retries": retries,
    "models": lambda: [model.id for model in one.models.list()],
}
print(json.dumps(SECTIONS[sys.argv[4]]()))
