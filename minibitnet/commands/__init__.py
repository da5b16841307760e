"""What the command ``minibitnet`` can do: one module for each subcommand.

===============================  ======================================================
`minibitnet.commands.generate`   continue a text
`minibitnet.commands.chat`       talk with a model
`minibitnet.commands.inspect`    what a checkpoint holds, and where its bytes go
`minibitnet.commands.download`   fetch a model from the hub
`minibitnet.commands.synth`      write a random checkpoint in the real layout
`minibitnet.commands.train`      train a small ternary model on text files
`minibitnet.commands.doctor`     whether all is well here
`minibitnet.commands.options`    the options that several of them take
===============================  ======================================================
"""
