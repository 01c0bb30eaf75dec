"""Four words that two people can compare by voice, in place of a long number.

The list has 256 plain English words of five to nine letters; no two begin with the same three
letters, end in the same four, or are fewer than three typing errors apart.  Four words are 32 bits.
"""

from __future__ import annotations

__all__ = ["WORDS", "four_words"]

WORDS: tuple[str, ...] = tuple(
    """
    acorn airport almond alpine anchor angle animal apricot armchair arrow artist autumn avocado
    baboon badger balcony banana barley basket beaver bedroom beetle bicycle birch biscuit blossom
    bonfire bookshelf border breakfast bridge broccoli buffalo button cabbage cactus camel captain
    cargo cashew ceiling cello cement charcoal chicken chocolate cinema citadel clarinet clover
    cobra coffee compass concert cookie corduroy cottage cougar coyote cradle crystal cupboard
    cypress daffodil dairy delta denim desert dinner dolphin domino donkey doorbell drizzle
    drummer dungeon eclipse elbow elephant emerald envelope espresso evening factory family farmer
    feather fireplace flamingo flute football fossil foxglove freckle galaxy garage gazelle gecko
    glacier goblet gondola granite guitar hammock harvest hedgehog helmet heron hickory holiday
    horizon hospital hurdle husky iceberg igloo island ivory jaguar jewel jigsaw journal juice
    kangaroo kayak kennel ketchup koala ladybug lantern lasagna laundry lavender lawyer lettuce
    library lilac lizard locket lotus luggage lychee macaroni magnet mailbox mandolin maple
    marigold medal melody mermaid meteor mirror mitten molecule monsoon muffin museum napkin
    nebula nephew nickel noodle nutmeg oatmeal obelisk olive onion opera orange origami ostrich
    otter oxygen papaya pasta peach pelican pencil perfume piano pillow pirate pistachio planet
    poppy potato prairie prince pudding puppet pyramid quiver rabbit raccoon rainbow raven receipt
    reindeer robin rosemary rudder salad sandal sapphire sardine sausage saxophone scarf scissors
    seagull senator shampoo shrimp silver siren skeleton snowflake soccer soldier spider sponge
    squirrel stadium submarine suitcase sunset sweater syrup tadpole tailor telescope temple
    tennis thimble tornado tractor treasure trumpet tulip tundra turkey uniform vacuum village
    vinegar vulture waffle walrus waterfall whale whistle window wrestler yacht yogurt
    """.split()  # noqa: SIM905 - a list that people read and compare
)


def four_words(key: bytes) -> list[str]:
    """Return the words for the first four bytes of a key that both ends derived.

    Raises:
        ValueError: the key has fewer than four bytes.
    """
    if len(key) < 4:
        raise ValueError("four words need four bytes")
    return [WORDS[byte] for byte in key[:4]]
