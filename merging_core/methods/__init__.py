"""Merge methods: how several task vectors, or several sets of weights, become one.

Add a method in five steps:

1. Ask whether it is a row: a mask and a combination that exist may already say it (DARE linear is the random mask ×
   the weighted sum).
2. Write one file here: a pure `combine(vectors [T, n], weights [T], context) -> [n]` that works on any piece of the
   flat vector, and beside it a `MethodInfo` with formula, source, parameters and defaults. Add over models with
   `sums.weighted_sum`, in model order.
   Leaves that must be seen whole and in their shape, such as matrices, go to a `WholeLeaf` beside it.
3. If it must see the whole model first, describe that as a `Statistic`: integers or float64 numbers that add up over
   pieces; if it must see each leaf first, as a `LeafStatistic`. Where the result is a sum with one coefficient for each
   model and leaf, `products.coefficients_of_leaves` makes it from a function of the inner products.
4. Put its name into the tuple of `registry.methods`. Controls, recipe schema, command line and documentation follow
   from it.
5. Write `tests/methods/test_<name>.py`: a golden value worked by hand and a float64 reference; the laws in
   `test_laws.py` already run over it. Then `python -m merging_core.methods.table > docs/methods.md`.
"""
