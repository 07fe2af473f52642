"""JSON Schema (2020-12), as far as the OpenAPI document uses it; anything else is an error."""
import math
import re

TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}
NOTES = ("description", "title", "default", "format", "discriminator", "contentEncoding")


def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def is_type(value, name):
    if name in ("integer", "number"):
        return is_number(value) and (name == "number" or math.floor(value) == value)
    return isinstance(value, TYPES[name])


class Schema:
    """One of the schemas of a document."""

    def __init__(self, document, schema):
        self.document = document
        self.schema = schema

    def takes(self, value):
        return self.judge(self.schema, value) is not None

    def follow(self, reference):
        schema = self.document
        for name in reference.removeprefix("#/").split("/"):
            schema = schema[name]
        return schema

    def judge(self, schema, value):
        """The names of the members that a valid value's schema speaks of, or None."""
        if isinstance(schema, bool):
            return set() if schema else None
        seen = set()
        later = schema.get("unevaluatedProperties", True)
        for word, want in schema.items():
            if word in NOTES or word == "unevaluatedProperties":
                continue
            found = getattr(self, "judge_" + word.lstrip("$"))(want, value, schema)
            if found is None:
                return None
            seen |= found
        if later is False and isinstance(value, dict) and set(value) - seen:
            return None
        return seen

    @staticmethod
    def all_or_none(holds):
        return set() if holds else None

    # ---- schemas in schemas

    def judge_ref(self, want, value, _):
        return self.judge(self.follow(want), value)

    def judge_allOf(self, want, value, _):
        found = [self.judge(schema, value) for schema in want]
        return None if None in found else set().union(*found)

    def judge_anyOf(self, want, value, _):
        found = [names for names in (self.judge(schema, value) for schema in want)
                 if names is not None]
        return set().union(*found) if found else None

    def judge_oneOf(self, want, value, _):
        found = [names for names in (self.judge(schema, value) for schema in want)
                 if names is not None]
        return found[0] if len(found) == 1 else None

    def judge_not(self, want, value, _):
        return self.all_or_none(self.judge(want, value) is None)

    # ---- any value

    def judge_type(self, want, value, _):
        return self.all_or_none(any(is_type(value, name) for name in
                                    (want if isinstance(want, list) else [want])))

    def judge_enum(self, want, value, _):
        return self.all_or_none(value in want)

    def judge_const(self, want, value, _):
        return self.all_or_none(value == want)

    # ---- numbers, texts, lists

    def judge_minimum(self, want, value, _):
        return self.all_or_none(not is_number(value) or value >= want)

    def judge_maximum(self, want, value, _):
        return self.all_or_none(not is_number(value) or value <= want)

    def judge_minLength(self, want, value, _):
        return self.all_or_none(not isinstance(value, str) or len(value) >= want)

    def judge_maxLength(self, want, value, _):
        return self.all_or_none(not isinstance(value, str) or len(value) <= want)

    def judge_pattern(self, want, value, _):
        return self.all_or_none(not isinstance(value, str) or re.search(want, value))

    def judge_items(self, want, value, _):
        return self.all_or_none(not isinstance(value, list) or
                                all(self.judge(want, item) is not None for item in value))

    def judge_minItems(self, want, value, _):
        return self.all_or_none(not isinstance(value, list) or len(value) >= want)

    # ---- objects

    def judge_properties(self, want, value, _):
        names = set(want) & set(value) if isinstance(value, dict) else set()
        return names if all(self.judge(want[name], value[name]) is not None
                            for name in names) else None

    def judge_additionalProperties(self, want, value, schema):
        names = set(value) - set(schema.get("properties", ())) if isinstance(value, dict) else set()
        return names if all(self.judge(want, value[name]) is not None for name in names) else None

    def judge_propertyNames(self, want, value, _):
        return self.all_or_none(not isinstance(value, dict) or
                                all(self.judge(want, name) is not None for name in value))

    def judge_maxProperties(self, want, value, _):
        return self.all_or_none(not isinstance(value, dict) or len(value) <= want)

    def judge_required(self, want, value, _):
        return self.all_or_none(not isinstance(value, dict) or set(want) <= set(value))
