"""The smallest machine: two states, one relation, one mutation, and a look at what became of it."""

import histrio


class Two(histrio.States):
    """`foo` can only be active while `bar` is."""

    bar = histrio.State()
    foo = histrio.State(require=[bar])


def main() -> None:
    """Try it without `bar`, then with it; then the same without a class, by names."""
    machine = histrio.Machine(Two)
    print(machine.add(Two.foo))
    print(Two.foo in machine)
    print(machine.add(Two.bar, Two.foo))
    print(Two.foo in machine)
    print(machine.remove(Two.bar), machine)  # what `foo` requires is gone, and so is `foo`

    untyped = histrio.Machine(histrio.Schema.from_data({"foo": {"require": ["bar"]}, "bar": {}}))
    untyped.add("foo")
    print("foo" in untyped)


if __name__ == "__main__":
    main()
