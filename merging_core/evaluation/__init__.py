"""Scoring weights on tasks, honestly and at once.

```
tasks, heads, loading, subsets      what is asked: examples in four splits, a head, a fixed preview order
sources, splitting, preprocessing,  tasks beyond the zoo's: pictures from shards, tables and folders
  picture_tasks
zero_shot, prompt_templates         heads out of class names and a text tower
text_tasks, language_model,         texts: classified, or predicted token by token
  tokenizing, token_rows
architectures, vision_transformer,  who answers: a configuration becomes a pure function of weights and inputs
  multilayer_perceptron, convolutional
allowed_models, config_reader,      … and which models of transformers may be built from which keys
  transformers_models
evaluator, batches, metrics         the answers, in batches, cancellable; preview first, then the split
report, intervals                   what they mean: n, intervals, averages, normalised, paired comparison
confusion, disagreements            which classes are mistaken for which; what one model loses and another gains
predictions, pictures               single images that a person draws or brings
paths, ensemble                     curves through weight space with their barrier; the output ensemble
```
"""
