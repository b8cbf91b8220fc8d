from artstore.cli.main import main

main()
