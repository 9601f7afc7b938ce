"""The graph itself: what can never happen."""

from dispatch.states import DEAD, EDGES, FINAL, State


def reachable(start: State) -> set[State]:
    found, fresh = {start}, {start}
    while fresh:
        fresh = {target for source, target in EDGES if source in fresh} - found
        found |= fresh
    return found


def test_every_state_can_be_reached_from_queued() -> None:
    assert reachable(State.QUEUED) == set(State)


def test_every_state_that_is_not_final_leads_to_delivered() -> None:
    assert all(State.DELIVERED in reachable(state) for state in set(State) - FINAL)


def test_delivered_and_canceled_are_never_left() -> None:
    assert not {source for source, _ in EDGES} & {State.DELIVERED, State.CANCELED}


def test_of_final_messages_only_those_with_a_dead_letter_are_queued_again() -> None:
    assert {source for source, target in EDGES if target is State.QUEUED} & FINAL == DEAD


def test_what_arrived_or_did_not_is_never_queued_again() -> None:
    ended = {State.DELIVERED, State.UNDELIVERED, State.CANCELED}
    assert not {state for state in ended if State.QUEUED in reachable(state)}


def test_only_a_released_message_is_sent() -> None:
    assert {source for source, target in EDGES if target is State.SENDING} == {State.RELEASED}


def test_dead_states_are_final() -> None:
    assert DEAD <= FINAL
