// placeholder
import CryptoExtras
